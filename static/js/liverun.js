/**
 * Following the run of a model from its file, as it grows.
 *
 * Owns which episode of the run is shown. Its world is that of the same calls on this server.
 */

import { label, played } from "./again.js";
import { ApiError, forget, randomId, reset, step, taskCard } from "./api.js";
import { h, put, show } from "./dom.js";
import { LiveStage } from "./livestage.js";
import { notice, Told } from "./notice.js";
import { createPlayer } from "./player.js";
import { Run } from "./run.js";
import { count, ending, points } from "./text.js";

/** @typedef {import("./run.js").Followed} Followed */

/**
 * @param {import("./growing.js").Growing} file
 * @param {HTMLElement} place
 * @param {HTMLElement} said
 * @returns {import("./live.js").Look}
 */
export function followRun(file, place, said) {
  let run = new Run();
  /** The one that somebody chose to stay with. @type {Followed | null} */
  let pinned = null;
  /** @type {Mirror | null} */
  let mirror = null;
  const list = h("ol", { class: "recording-list" });
  const newest = h("button", { type: "button", class: "chip", hidden: true, on: { click: () => pin(null) } }, "Follow the newest again");
  const own = h("div", { class: "stage" });
  return async () => {
    if (!list.isConnected) put(place, list, newest, own);
    const { isAnew, lines } = await file.look();
    if (isAnew) [run, pinned] = [new Run(), null];
    for (const [number, text] of lines) run.read(number, text);
    if (lines.length > 0 || isAnew) drawList();
    await showOne();
    // Only now it is known how many steps are left.
    if (lines.length > 0) drawList();
    const isQuiet = run.isOver && lines.length === 0;
    show(said, `${file.name}: ${count(run.episodes.length, "episode")}. `, isQuiet ? "The run is over." : "It is looked at every second.", run.unread.count > 0 && ` ${count(run.unread.count, "line")} cannot be read. ${run.unread.first}`);
    return !isQuiet;
  };

  /** @param {Followed | null} episode */
  function pin(episode) {
    pinned = episode;
    drawList();
    showOne().catch((error) => show(own, notice(error, [])));
  }

  function drawList() {
    newest.hidden = pinned === null;
    show(
      list,
      run.episodes
        .map((one, index) =>
          h(
            "li",
            {},
            h("button", { type: "button", class: "recording", "aria-pressed": one === pinned ? "true" : "false", on: { click: () => pin(one) } }, h("span", {}, `${index + 1}. ${label(one)}`), h("span", { class: "soft" }, state(one))),
          ),
        )
        .reverse(),
    );
  }

  async function showOne() {
    const wanted = pinned ?? run.episodes.at(-1);
    if (!wanted) {
      const why = run.unread.count > 0 ? "No line of it is of a run that this page can read. The files of a run are steps.jsonl and episodes.jsonl." : "Nothing is in it yet: the first step comes when the model has answered.";
      show(own, h("p", { class: "soft" }, why));
      return;
    }
    if (mirror?.episode !== wanted) {
      mirror?.close();
      mirror = new Mirror(wanted);
      show(own, mirror.element);
    }
    try {
      await mirror.catchUp();
    } catch (error) {
      if (!(error instanceof Told)) throw error;
      // The run goes on all the same, and so does the look at it.
      show(own, notice(error, []));
      mirror.close();
      if (error instanceof ApiError && PASSING.includes(error.code)) mirror = null;
    }
  }
}

/** Refusals that pass: it is tried again with the next look. Any other would be refused again. */
const PASSING = ["at_capacity", "busy", "http_error", "unreachable", "unreadable"];

/** @param {Followed} episode */
function state({ calls, isOver, isTorn, claims, left }) {
  if (isTorn) return `${count(calls.length, "step")}, then one is missing: the rest is not played`;
  const grade = isOver && typeof claims.score === "number" ? `${points(claims.score)}, ${ending(claims.outcome === null ? null : String(claims.outcome))}` : isOver ? "over" : "being played";
  return [count(calls.length, "step"), !isOver && left !== undefined && `${left} left`, grade].filter(Boolean).join(", ");
}

/** One episode of a run, played along on this server. */
class Mirror {
  /** @param {Followed} episode */
  constructor(episode) {
    this.episode = episode;
    this.stage = new LiveStage();
    this.element = h("div", { class: "stage" }, this.stage.element);
    /** @type {string | null} */
    this.id = null;
    /** Whether this server may not play the scenario, which it draws itself. */
    this.isHidden = false;
    this.isShown = false;
    this.isClosed = false;
    /** Whether it is over here, wherever it is in the file. */
    this.isDone = false;
    /** A look that is not over yet. @type {Promise<void> | null} */
    this.working = null;
    this.drawn = -1;
    /** @type {Record<string, any> | null} */
    this.state = null;
    /** @type {import("./livestage.js").Taken[]} */
    this.taken = [];
  }

  close() {
    this.isClosed = true;
    if (this.id !== null) forget(this.id);
  }

  catchUp() {
    this.working ??= this.work().finally(() => (this.working = null));
    return this.working;
  }

  async work() {
    const { episode } = this;
    if (this.isShown || this.isClosed) return;
    try {
      if (episode.isOver && !this.isHidden) await this.end();
      else await this.follow();
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "held_out")) throw error;
      this.isHidden = true;
      await this.follow();
    }
  }

  async end() {
    const { episode } = this;
    const progress = h("progress", { max: episode.calls.length, value: 0, "aria-label": "Replaying" });
    const found = await played(episode, await taskCard(episode.scenario.task), progress, () => this.isClosed);
    if (found === null) return;
    this.isShown = true;
    const steps = found.run.report.steps.length;
    show(
      this.element,
      found.said.length > 0 && h("ul", { class: "notice", "aria-label": "Where the file and the replay differ" }, found.said.map((text) => h("li", {}, text))),
      createPlayer([found.run], { at: steps }).element,
    );
  }

  async follow() {
    const { calls, scenario } = this.episode;
    if (this.isHidden) this.taken = calls;
    else {
      if (this.id === null) {
        const answer = await reset(scenario);
        this.id = answer.episode_id;
        this.state = answer.observation.current_state;
        this.episode.left = answer.observation.steps_remaining;
      }
      while (this.taken.length < calls.length && !this.isClosed && !this.isDone) {
        const call = calls[this.taken.length];
        const { observation, done } = await step(this.id, call, randomId());
        this.taken.push({ ...call, result: observation.last_action_result });
        this.state = observation.current_state;
        this.episode.left = observation.steps_remaining;
        this.isDone = done;
      }
    }
    if (this.isClosed || this.drawn === this.taken.length) return;
    this.drawn = this.taken.length;
    this.stage.draw(scenario.task, this.isHidden ? null : this.state, this.taken);
    if (this.isDone && !this.episode.isOver) put(this.element, h("p", { class: "notice" }, "On this server the episode is over here. What the file has of it from now on is not played."));
    if (this.episode.isOver) this.isShown = true;
  }
}
