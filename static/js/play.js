/**
 * Playing an episode by hand.
 *
 * Owns the course of an episode: start, resume, step, end. Must not know what a task looks like or how a form is built.
 */

import { ApiError, expert, explanation, lastAnswer, randomId, report, reset, step, taskCard } from "./api.js";
import { questions } from "./approvals.js";
import { focusOn, h, put, show, unseen } from "./dom.js";
import { drawEnd, playClosing } from "./end.js";
import { strike } from "./explained.js";
import { actionForm, askAction, isAbout, schemaOf } from "./forms.js";
import { freshSeed, readScenario, to } from "./link.js";
import { notice } from "./notice.js";
import { drop, hasPlayed, keep, kept } from "./store.js";
import { callText, count, signed } from "./text.js";
import { budget, variantText } from "./variant.js";
import { drawWorld } from "./worlds/world.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./api.js").Scenario} Scenario */
/** @typedef {import("./api.js").TaskCard} TaskCard */
/** @typedef {import("./approvals.js").Turn} Turn */

/** From this width on, actions and results stand beside the state; as in the style sheet. */
const WIDE = "(min-width: 60rem)";
const UPKEEP = "Routine upkeep: ";
const RULES = "Call one action per step;";

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  const running = kept();
  if (!params.has("task") && !running) {
    location.hash = "#/";
    return;
  }
  const asked = params.has("task") ? readScenario(params) : null;
  const isSame = asked !== null && params.has("seed") && same(asked, running?.scenario);
  if (running && (asked === null || isSame)) {
    const answer = await resumed(running);
    if (answer) return new Game(place, await taskCard(running.scenario.task), running, answer).open();
  }
  return begin(place, asked ?? /** @type {import("./store.js").Kept} */ (running).scenario);
}

/**
 * @param {Scenario} one
 * @param {Scenario | undefined} other
 */
function same(one, other) {
  const names = /** @type {const} */ (["task", "split", "seed", "level", "framing"]);
  return other !== undefined && names.every((name) => one[name] === other[name]);
}

/**
 * @param {HTMLElement} place
 * @param {Scenario} scenario
 */
async function begin(place, scenario) {
  const card = await taskCard(scenario.task);
  const answer = await reset(scenario);
  return new Game(place, card, { id: answer.episode_id, scenario, turns: [] }, answer).open();
}

/**
 * The last answer of a kept episode, with its turns brought up to date; `null` if the server no longer has it.
 * @param {import("./store.js").Kept} running
 */
async function resumed(running) {
  let answer;
  try {
    answer = await lastAnswer(running.id);
  } catch (error) {
    if (error instanceof ApiError && error.code === "unknown_episode") return rebuilt(running);
    throw error;
  }
  const history = answer.observation.action_history;
  running.turns.length = Math.min(running.turns.length, history.length);
  // An answer may have been lost on its way: the history has what it was, but for the reason and older rewards.
  for (const entry of history.slice(running.turns.length)) {
    const reward = entry.step === history.length ? answer.reward : null;
    running.turns.push({ action_name: entry.action, parameters: entry.params, reasoning: "", result: entry.result, reward });
  }
  return answer;
}

/**
 * Plays the kept calls again: the seed and the calls are the episode.
 * @param {import("./store.js").Kept} running
 */
async function rebuilt(running) {
  const calls = running.turns;
  if (calls.some((call) => call.reasoning === "")) return null;
  let answer = await reset(running.scenario);
  running.id = answer.episode_id;
  running.turns = [];
  for (const { action_name, parameters, reasoning } of calls) {
    const call = { action_name, parameters, reasoning };
    answer = await step(running.id, call, randomId());
    running.turns.push(turnOf(call, answer));
  }
  keep(running);
  return answer;
}

/**
 * @param {Call} call
 * @param {Answer} answer
 * @returns {Turn}
 */
function turnOf(call, answer) {
  return { ...call, result: answer.observation.last_action_result, reward: answer.reward };
}

/** One episode on the screen. */
class Game {
  /**
   * @param {HTMLElement} place
   * @param {TaskCard} card
   * @param {import("./store.js").Kept} episode
   * @param {Answer} answer  The last one.
   */
  constructor(place, card, episode, answer) {
    this.place = place;
    this.card = card;
    this.episode = episode;
    this.answer = answer;
    /** @type {Record<string, any> | null} */
    this.before = null;
    /** @type {import("./forms.js").Pick | null} */
    this.picked = null;
    /** @type {string | null} */
    this.chosen = null;
    this.isBusy = false;
    this.isLeft = false;

    this.status = h("div", { class: "status" });
    this.end = h("div", { class: "end-place" });
    this.world = h("section", { class: "world", "aria-labelledby": "world-title" });
    this.result = h("div", { class: "result", role: "group", "aria-label": "Last result" });
    this.actions = h("section", { class: "actions", id: "actions", tabindex: "-1", "aria-labelledby": "actions-title" });
    this.asked = h("section", { class: "asked", "aria-labelledby": "asked-title" });
    this.history = h("section", { class: "history", "aria-labelledby": "history-title" });
  }

  async open() {
    const { scenario } = this.episode;
    history.replaceState(null, "", to("play", scenario));
    keep(this.episode);
    const panel = h("div", { class: "panel" }, this.result, this.actions, this.asked, this.history);
    const game = h("div", { class: "game" }, this.status, this.end, h("div", { class: "scene" }, this.drawJob(), this.world), panel);
    this.root = game;
    put(this.place, h("h1", { class: "unseen" }, `Playing ${this.card.title}`), game);
    this.draw();
    if (this.answer.done) await this.finish(false);
    return () => (this.isLeft = true);
  }

  // Drawing -------------------------------------------------------------------------------------------------

  draw() {
    this.drawStatus();
    this.drawWorld();
    this.drawResult();
    this.drawActions();
    this.drawQuestions();
    this.drawHistory();
  }

  drawJob() {
    const text = this.answer.observation.task_description.replace(`${this.card.title}. `, "");
    const [body, rules] = split(text, RULES);
    const [job, upkeep] = split(body, UPKEEP);
    // Open where there is room: on a phone the state comes first.
    const isOpen = this.episode.turns.length === 0 || window.matchMedia(WIDE).matches;
    return h(
      "details",
      { class: "job-details", open: isOpen },
      h("summary", {}, h("h2", {}, "The job")),
      h("p", {}, job),
      upkeep && h("p", {}, h("strong", {}, UPKEEP), upkeep.slice(UPKEEP.length)),
      rules && h("p", { class: "soft" }, rules),
    );
  }

  drawStatus() {
    const { steps_remaining: left } = this.answer.observation;
    const { scenario, turns } = this.episode;
    const steps = budget(this.card, scenario.level);
    const earned = turns.reduce((sum, turn) => sum + (turn.reward ?? 0), 0);
    show(
      this.status,
      h(
        "p",
        { class: "status-what" },
        h("strong", {}, this.card.title),
        h("span", { class: "soft" }, ` ${scenario.split}${variantText(scenario)}, seed ${scenario.seed}`),
      ),
      h(
        "p",
        { class: "meter" },
        h("span", {}, `${left} of ${count(steps, "step")} left`),
        h("span", { class: "bar", "aria-hidden": "true", vars: { "--share": left / steps } }),
      ),
      h(
        "p",
        { class: "meter" },
        h("span", {}, `earned ${signed(earned)} of 1`),
        h("span", { class: "bar bar-earned", "aria-hidden": "true", vars: { "--share": Math.max(0, Math.min(1, earned)) } }),
      ),
      !this.answer.done && h("button", { type: "button", class: "jump", on: { click: () => this.toActions() } }, "Actions"),
    );
  }

  drawWorld() {
    show(
      this.world,
      h("h2", { id: "world-title" }, "What you know"),
      drawWorld(this.card.name, {
        state: this.answer.observation.current_state,
        before: this.before,
        picked: this.picked,
        onPick: this.answer.done ? null : (pick) => this.pick(pick),
      }),
    );
  }

  drawResult() {
    const turn = this.episode.turns.at(-1);
    const text = this.answer.observation.last_action_result;
    show(
      this.result,
      turn
        ? [
            h("p", { class: "result-what" }, `Step ${this.episode.turns.length}: `, h("code", {}, callText(turn)), rewardOf(turn)),
            h("p", { class: "result-text" }, text),
          ]
        : [h("p", { class: "result-text" }, text), h("p", { class: "soft" }, "Pick something in the list of what you know, or an action below.")],
    );
  }

  drawActions() {
    const { observation, done } = this.answer;
    this.actions.hidden = done;
    const { picked } = this;
    const ask = askAction(this.card);
    const shown = observation.available_actions.filter(
      ({ name }) => picked === null || name === ask || isAbout(schemaOf(this.card, observation, name), picked),
    );
    show(
      this.actions,
      h("h2", { id: "actions-title" }, picked ? "Actions on " : "Actions", picked && h("code", {}, String(Object.values(picked).at(-1)))),
      picked &&
        h("p", {}, h("button", { type: "button", class: "chip", on: { click: () => this.pick(null) } }, `Show all ${observation.available_actions.length}`)),
      h(
        "ul",
        { class: "action-list" },
        shown.map(({ name, description }) => {
          const isChosen = this.chosen === name;
          return h(
            "li",
            { class: isChosen ? "action is-chosen" : "action" },
            h(
              "button",
              { type: "button", class: "action-name", "data-action": name, "aria-expanded": isChosen ? "true" : "false", on: { click: () => this.choose(name) } },
              h("code", {}, name),
              h("span", { class: "action-text" }, description),
            ),
            isChosen && actionForm({ card: this.card, obs: observation, action: name, pick: picked, onCall: (call) => this.take(call, randomId()) }),
          );
        }),
      ),
    );
  }

  drawQuestions() {
    const ask = askAction(this.card);
    const schema = schemaOf(this.card, this.answer.observation, ask);
    const found = questions(this.episode.turns, ask, schema.properties.action_being_considered?.default);
    this.asked.hidden = found.length === 0;
    show(
      this.asked,
      h("h2", { id: "asked-title" }, "Questions and approvals"),
      h(
        "ol",
        { class: "question-list" },
        found.map((question) =>
          h(
            "li",
            { class: `question question-${question.kind}` },
            h("p", { class: "question-asked" }, `Step ${question.step}, you asked: `, h("code", {}, question.about), question.reason && h("q", {}, question.reason)),
            h("p", { class: "question-answer" }, question.answer),
            question.kind === "approved" && token(question),
          ),
        ),
      ),
    );
  }

  drawHistory() {
    const { turns } = this.episode;
    this.history.hidden = turns.length === 0;
    show(
      this.history,
      h("h2", { id: "history-title" }, "Steps so far"),
      h(
        "ol",
        { class: "turns", reversed: true },
        turns
          .map((turn, index) =>
            h(
              "li",
              { class: "turn", value: index + 1 },
              h("p", { class: "turn-call" }, h("code", {}, callText(turn)), rewardOf(turn)),
              h("p", {}, turn.result),
              turn.reasoning && h("p", { class: "soft" }, h("q", {}, turn.reasoning)),
            ),
          )
          .reverse(),
      ),
    );
  }

  // Acting --------------------------------------------------------------------------------------------------

  toActions() {
    this.actions.scrollIntoView({ block: "start" });
    this.actions.focus({ preventScroll: true });
  }

  /** @param {import("./forms.js").Pick | null} pick */
  pick(pick) {
    const isSame = JSON.stringify(pick) === JSON.stringify(this.picked);
    this.picked = isSame ? null : pick;
    this.chosen = null;
    this.drawWorld();
    this.drawActions();
    if (this.picked) this.toActions();
    else this.world.querySelector("button")?.focus({ preventScroll: true });
  }

  /** @param {string} name */
  choose(name) {
    this.chosen = this.chosen === name ? null : name;
    this.drawActions();
    const button = this.actions.querySelector(`[data-action="${CSS.escape(name)}"]`);
    if (button instanceof HTMLElement) {
      button.focus({ preventScroll: true });
      button.parentElement?.scrollIntoView({ block: "nearest" });
    }
  }

  /**
   * Takes a step. The same request may be sent again: the server acts once.
   * @param {Call} call
   * @param {string} requestId
   */
  async take(call, requestId) {
    if (this.isBusy) return;
    this.isBusy = true;
    this.root?.setAttribute("aria-busy", "true");
    try {
      const answer = await step(this.episode.id, call, requestId);
      if (this.isLeft) return;
      this.before = this.answer.observation.current_state;
      this.answer = answer;
      this.episode.turns.push(turnOf(call, answer));
      this.picked = this.chosen = null;
      keep(this.episode);
      this.draw();
      if (answer.done) await this.finish(true);
      else this.showResult();
    } catch (error) {
      if (!this.isLeft) this.failed(error, call, requestId);
    } finally {
      this.isBusy = false;
      this.root?.removeAttribute("aria-busy");
    }
  }

  showResult() {
    focusOn(this.result);
    // Where the result stays in sight, so can what it changed.
    if (window.matchMedia(WIDE).matches) this.world.querySelector(".is-new")?.scrollIntoView({ block: "nearest" });
  }

  /**
   * @param {unknown} error
   * @param {Call} call
   * @param {string} requestId
   */
  failed(error, call, requestId) {
    const code = error instanceof ApiError ? error.code : "";
    // After a reload the episode is where the server has it: further on perhaps, as another tab took a step.
    const reloads = /** @type {Record<string, string>} */ ({
      unknown_episode: "Play my steps again on a new episode",
      episode_done: "Show the end",
    });
    const again =
      code in reloads
        ? { label: reloads[code], act: () => location.reload() }
        : { label: "Try again", act: () => this.take(call, requestId) };
    const failed = notice(error, [again, { label: "Leave the episode", act: leave }]);
    show(this.result, failed);
    focusOn(failed);
  }

  /**
   * The end: only now may the report be asked for.
   * @param {boolean} isFresh  Whether it has ended this moment, before the player's eyes.
   */
  async finish(isFresh) {
    const isMistake = this.answer.observation.metadata.outcome === "irreversible_mistake";
    this.root?.classList.add("is-over", isMistake ? "is-sealed" : "is-done");
    const last = this.episode.turns.at(-1);
    const closing = isFresh && isMistake && last ? playClosing(last) : Promise.resolve();
    try {
      const record = await report(this.episode.id);
      const told = await explanation(this.episode.id, record);
      const way = record.split === "train" ? await expert(this.episode.id) : null;
      await closing;
      if (this.isLeft) return;
      const { scenario } = this.episode;
      const drawn = drawEnd({
        card: this.card,
        report: record,
        expert: way,
        told,
        onAgain: () => restart(scenario),
        onNext: () => restart({ ...scenario, seed: freshSeed() }),
        onLeave: leave,
      });
      show(this.end, drawn.element);
      if (told) strike(this.world, told);
      hasPlayed();
      drawn.title.scrollIntoView({ block: "center" });
      focusOn(drawn.title);
    } catch (error) {
      await closing;
      show(this.end, notice(error, [{ label: "Try again", act: () => this.finish(false) }, { label: "Leave the episode", act: leave }]));
    }
  }
}

/** @param {Scenario} scenario */
function restart(scenario) {
  drop();
  const link = to("play", scenario);
  // The same address is no change of address: say so.
  if (location.hash === link) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = link;
}

function leave() {
  drop();
  location.hash = "#/";
}

/**
 * @param {string} text
 * @param {string} mark
 */
function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at).trim(), text.slice(at)];
}

/** @param {{reward: number | null}} turn */
export function rewardOf({ reward }) {
  if (reward === null) return null;
  const kind = reward < 0 ? "loss" : reward > 0 ? "gain" : "none";
  return h("span", { class: `reward reward-${kind}` }, unseen("reward "), signed(reward));
}

/** @param {import("./approvals.js").Question} question */
function token(question) {
  const isUsed = question.usedAt !== null;
  return h(
    "p",
    { class: isUsed ? "token is-used" : "token" },
    h("span", { class: "token-what" }, question.about),
    h("span", {}, isUsed ? `used at step ${question.usedAt}` : "good for one use"),
  );
}
