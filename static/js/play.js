/**
 * Playing an episode by hand.
 *
 * Owns the course of an episode: start, resume, step, end. Must not know what a task looks like or how a form is built.
 */

import { ApiError, expert, explanation, lastAnswer, randomId, recorded, report, reset, step, taskCard } from "./api.js";
import { questions } from "./approvals.js";
import { focusOn, h, put, show, unseen } from "./dom.js";
import { actionForm, askAction, schemaOf } from "./forms.js";
import { drawJob } from "./job.js";
import { freshSeed, goTo, readScenario, to } from "./link.js";
import { callButton, isLook, looksAt, wasMade } from "./looks.js";
import { notice } from "./notice.js";
import { actionList, shownActions } from "./panel.js";
import { countGame, drop, keep, kept } from "./store.js";
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
/** How a result begins that says that nothing was done. */
const DENIED = /^(Refused|Not carried out|Denied|CRITICAL|There is no action)/;

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  const running = kept();
  if (!params.has("task") && !running) {
    // In the place of this address, to which Back would lead here again.
    location.replace("#/");
    return;
  }
  const asked = params.has("task") ? readScenario(params) : null;
  const isSame = asked !== null && params.has("seed") && same(asked, running?.scenario);
  if (running && (asked === null || isSame)) {
    const answer = await resumed(running);
    if (answer) return new Game(place, await taskCard(running.scenario.task), running, answer).open();
  }
  if (running && asked && !isSame && !running.isOver && running.turns.length > 0) return choose(place, running, asked);
  return begin(place, asked ?? /** @type {import("./store.js").Kept} */ (running).scenario);
}

/**
 * An episode is running, and another one was asked for: neither is dropped without a word.
 * @param {HTMLElement} place
 * @param {import("./store.js").Kept} running
 * @param {Scenario} asked
 */
async function choose(place, running, asked) {
  const card = await taskCard(running.scenario.task);
  const other = await taskCard(asked.task);
  const told = `You are at step ${running.turns.length} of ${card.title}, seed ${running.scenario.seed}. To start ${other.title} ends that.`;
  put(
    place,
    h("h1", {}, "An episode is running."),
    h("p", { class: "lead" }, told),
    h(
      "p",
      { class: "actions-row" },
      h("button", { type: "button", class: "button", on: { click: () => goTo(to("play", running.scenario)) } }, "Go on with it"),
      h("button", { type: "button", class: "quiet-button", on: { click: () => restart(asked) } }, "Start the new one"),
    ),
  );
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
  const begun = reset(scenario);
  // A task that there is not is refused twice: what the card says is told.
  begun.catch(() => {});
  const card = await taskCard(scenario.task);
  const answer = await begun;
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
  catchUp(running.turns, answer);
  return answer;
}

/**
 * Brings turns up to date with an answer: another one may have been lost on its way, or another tab took steps. The
 * history has what they were, but for the reasons and older rewards.
 * @param {Turn[]} turns
 * @param {Answer} answer
 */
function catchUp(turns, answer) {
  const history = answer.observation.action_history;
  turns.length = Math.min(turns.length, history.length);
  for (const entry of history.slice(turns.length)) {
    const reward = entry.step === history.length ? answer.reward : null;
    turns.push({ action_name: entry.action, parameters: entry.params, reasoning: "", result: entry.result, reward });
  }
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
  for (const { action_name, parameters, reasoning, undo_chance } of calls) {
    const call = { action_name, parameters, reasoning };
    answer = await step(running.id, call, randomId());
    running.turns.push({ ...turnOf(call, answer), undo_chance });
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
    /** What was typed, by action: choosing another one loses nothing. @type {Record<string, import("./forms.js").Draft>} */
    this.drafts = {};
    this.wanted = "";
    this.isBusy = false;
    this.isLeft = false;

    this.status = h("div", { class: "status" });
    this.end = h("div", { class: "end-place" });
    this.job = h("div", {});
    this.world = h("section", { class: "world", "aria-labelledby": "world-title" });
    this.result = h("div", { class: "result", role: "group", "aria-label": "Last result" });
    this.actions = h("section", { class: "actions", id: "actions", tabindex: "-1", "aria-labelledby": "actions-title" });
    this.asked = h("section", { class: "asked", "aria-labelledby": "asked-title" });
    this.history = h("section", { class: "history", "aria-labelledby": "history-title" });
  }

  async open() {
    // Left while the server was answering: another view has the address now.
    if (!this.place.isConnected) return;
    const { scenario } = this.episode;
    history.replaceState(null, "", to("play", scenario));
    keep(this.episode);
    const panel = h("div", { class: "panel" }, this.result, this.actions, this.asked, this.history);
    const game = h("div", { class: "game" }, this.status, this.end, h("div", { class: "scene" }, this.job, this.world), panel);
    this.root = game;
    put(this.place, h("h1", { class: "unseen" }, `Playing ${this.card.title}`), game);
    this.draw();
    const leaving = new AbortController();
    document.addEventListener("keydown", (event) => this.pressed(event), { signal: leaving.signal });
    if (this.answer.done) await this.finish(false);
    return () => {
      this.isLeft = true;
      leaving.abort();
    };
  }

  // Drawing -------------------------------------------------------------------------------------------------

  draw() {
    this.drawJob();
    this.drawStatus();
    this.drawWorld();
    this.drawResult();
    this.drawActions();
    this.drawQuestions();
    this.drawHistory();
  }

  drawJob() {
    const { turns } = this.episode;
    const shown = this.job.firstElementChild;
    // Open where there is room: on a phone the state comes first.
    const isOpen = shown instanceof HTMLDetailsElement ? shown.open && turns.length !== 1 : turns.length === 0;
    show(this.job, drawJob(this.answer.observation, this.card, isOpen || window.matchMedia(WIDE).matches, turns.length === 0));
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
        looks: (pick) =>
          looksAt(this.card, pick)
            .filter((call) => this.has(call.action_name) && !wasMade(call, this.episode.turns))
            .map((call) => callButton(call, (made) => this.take(made, randomId()))),
      }),
    );
  }

  /** @param {string} name */
  has(name) {
    return this.answer.observation.available_actions.some((action) => action.name === name);
  }

  drawResult() {
    const turn = this.episode.turns.at(-1);
    const text = this.answer.observation.last_action_result;
    this.result.classList.toggle("is-denied", turn !== undefined && DENIED.test(text));
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
    const { picked, chosen, card, wanted } = this;
    const actions = shownActions({ card, obs: observation, picked, wanted });
    const find = h("input", { id: "find", type: "search", placeholder: "Find an action ( / )", "aria-label": "Find an action", value: wanted, on: { input: () => this.find(find.value) } });
    const list = actionList({
      card,
      actions,
      chosen,
      turns: this.episode.turns,
      form: chosen && this.form(chosen),
      onChoose: (name) => this.choose(name),
      onAsk: (name) => this.ask(name),
      onCall: (call) => this.take(call, randomId()),
    });
    show(
      this.actions,
      h("h2", { id: "actions-title" }, picked ? "Actions on " : "Actions", picked && h("code", {}, String(Object.values(picked).at(-1)))),
      picked
        ? h("p", {}, h("button", { type: "button", class: "chip", on: { click: () => this.pick(null) } }, `Show all ${observation.available_actions.length}`))
        : find,
      list,
    );
  }

  /** @param {string} name */
  form(name) {
    const { card, picked } = this;
    const draft = (this.drafts[name] ??= { given: {}, reason: "" });
    const onCall = (/** @type {Call} */ call, /** @type {number | null} */ chance) => this.take(call, randomId(), chance);
    const isQuiet = isLook(card, name) || name === "finish";
    return actionForm({ card, obs: this.answer.observation, action: name, pick: picked, isLook: isQuiet, draft, onCall });
  }

  /** @param {string} text */
  find(text) {
    this.wanted = text;
    this.drawActions();
    const field = this.actions.querySelector("#find");
    if (field instanceof HTMLInputElement) {
      field.focus();
      field.setSelectionRange(text.length, text.length);
    }
  }

  /**
   * Opens the question about an action.
   * @param {string} name
   */
  ask(name) {
    const ask = askAction(this.card);
    const draft = (this.drafts[ask] ??= { given: {}, reason: "" });
    draft.given.action_being_considered = name;
    this.wanted = "";
    this.chosen = ask;
    this.drawActions();
    const form = this.actions.querySelector(".action-form");
    form?.scrollIntoView({ block: "nearest" });
    const submit = form?.querySelector("[type=submit]");
    if (submit instanceof HTMLElement) submit.focus({ preventScroll: true });
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (this.answer.done || target.closest("dialog")) return;
    const form = this.actions.querySelector("form");
    if (event.key === "Enter" && event.ctrlKey && form) {
      const first = /** @type {HTMLButtonElement | null} */ (form.querySelector("[type=submit]"));
      // An act is called before it is made: the choice is one key away.
      if (first?.value) first.focus();
      else form.requestSubmit(first);
      return;
    }
    if (event.key === "Escape") {
      if (this.chosen) this.choose(this.chosen);
      else if (this.picked) this.pick(null);
      return;
    }
    if (event.ctrlKey || event.altKey || event.metaKey || target.closest("input:not([type=radio]), select, textarea")) return;
    if (event.key === "/") {
      event.preventDefault();
      if (this.picked) this.pick(null);
      this.find("");
    } else if (/^[1-9]$/.test(event.key)) {
      const named = this.actions.querySelectorAll("[data-action]")[Number(event.key) - 1];
      if (named instanceof HTMLElement) this.choose(named.dataset.action ?? "");
    }
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
              h("p", { class: DENIED.test(turn.result) ? "turn-call is-denied" : "turn-call" }, h("code", {}, callText(turn)), rewardOf(turn)),
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
   * @param {number | null} [chance]  How likely it can be taken back, in percent, as it was called.
   */
  async take(call, requestId, chance = null) {
    if (this.isBusy) return;
    this.isBusy = true;
    this.root?.setAttribute("aria-busy", "true");
    try {
      const answer = await step(this.episode.id, call, requestId);
      if (this.isLeft) return;
      this.before = this.answer.observation.current_state;
      this.answer = answer;
      this.episode.turns.push({ ...turnOf(call, answer), ...(chance === null ? {} : { undo_chance: chance }) });
      // Another tab with the same episode may have taken steps as well.
      if (answer.observation.action_history.length !== this.episode.turns.length) {
        this.episode.turns.length = 0;
        catchUp(this.episode.turns, answer);
      }
      delete this.drafts[call.action_name];
      this.picked = this.chosen = null;
      this.wanted = "";
      keep(this.episode);
      this.draw();
      if (answer.done) await this.finish(true);
      else this.showResult();
    } catch (error) {
      if (!this.isLeft) this.failed(error, call, requestId, chance);
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
   * @param {number | null} chance
   */
  failed(error, call, requestId, chance) {
    const code = error instanceof ApiError ? error.code : "";
    // After a reload the episode is where the server has it: further on perhaps, as another tab took a step.
    const reloads = /** @type {Record<string, string>} */ ({
      unknown_episode: "Play my steps again on a new episode",
      episode_done: "Show the end",
    });
    const again =
      code in reloads
        ? { label: reloads[code], act: () => location.reload() }
        : { label: "Try again", act: () => this.take(call, requestId, chance) };
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
    let closing = Promise.resolve();
    try {
      // What the end needs is loaded at the end.
      const [{ drawEnd, playClosing }, { called, drawCalled, tallied }, { cutWorld }] = await Promise.all([import("./end.js"), import("./called.js"), import("./cut.js")]);
      if (isFresh && isMistake && last) closing = playClosing(last);
      const record = await report(this.episode.id);
      const told = await explanation(this.episode.id, record);
      const models = await recorded().then(({ drawings }) => drawings.calibration, () => []);
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
      const acts = called(record, this.episode.turns);
      const isCounted = this.episode.isOver === true;
      show(this.end, drawn.element);
      put(drawn.element, drawCalled(acts, tallied(acts, !isCounted), models));
      this.episode.isOver = true;
      keep(this.episode);
      if (told) show(this.world, h("h2", { id: "world-title" }, "What you know"), cutWorld(this.card.name, this.answer.observation.current_state, told));
      if (!isCounted) countGame(record);
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
  goTo(to("play", scenario));
}

function leave() {
  drop();
  location.hash = "#/";
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
