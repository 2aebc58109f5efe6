/**
 * Stepping through episodes that are over: one, or two beside each other.
 *
 * Owns the transport and what is shown of a step. It draws reports, whoever played.
 */

import { focusOn, h, show, svg } from "./dom.js";
import { messageList } from "./messages.js";
import { riskMark } from "./risk.js";
import { callText, ending, points, signed } from "./text.js";
import { drawWorld } from "./worlds/world.js";

/** @typedef {import("./api.js").Report} Report */
/**
 * @typedef {object} Run
 * @property {string} title  Who played.
 * @property {Report} report  With states.
 * @property {import("./messages.js").Message[][]} [messages]  Of a model, by step.
 */

/** A step at speed 1. */
const STEP_MS = 1400;
const SPEEDS = [0.5, 1, 2, 4];

/**
 * @param {Run[]} runs
 */
export function createPlayer(runs) {
  const last = Math.max(...runs.map((run) => run.report.steps.length));
  let at = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const title = h("h2", { class: "player-title" }, runs.map((run) => run.title).join(" and "));
  const position = h("input", { id: "player-position", type: "range", min: 0, max: last, value: 0, on: { input: () => go(Number(position.value)) } });
  const number = h("output", { for: position.id, class: "player-number" });
  const toggle = h("button", { type: "button", class: "button", on: { click: () => (timer === undefined ? play() : pause()) } }, "Play");
  const speed = h("select", { id: "player-speed" }, SPEEDS.map((value) => h("option", { value }, `${value}×`)));
  speed.value = "1";
  const screens = runs.map((run) => new Screen(run, last));
  const element = h(
    "section",
    { class: "player", "aria-label": title.textContent },
    title,
    h(
      "div",
      { class: "transport" },
      toggle,
      h("button", { type: "button", class: "quiet-button", on: { click: () => go(at - 1) } }, "Back"),
      h("button", { type: "button", class: "quiet-button", on: { click: () => go(at + 1) } }, "Step"),
      h("button", { type: "button", class: "quiet-button", on: { click: () => go(last) } }, "To the end"),
      h("span", { class: "field-row" }, h("label", { for: speed.id }, "Speed"), speed),
      h("span", { class: "field-row player-where" }, h("label", { for: position.id }, "Step"), position, number),
    ),
    h("div", { class: runs.length > 1 ? "screens screens-two" : "screens" }, screens.map((screen) => screen.element)),
  );
  draw();
  return { element, focus: () => focusOn(title), play, stop: pause };

  /** @param {number} to */
  function go(to) {
    pause();
    at = Math.max(0, Math.min(last, to));
    draw();
  }

  function draw() {
    position.value = String(at);
    number.textContent = `${at} of ${last}`;
    for (const screen of screens) screen.draw(at);
  }

  function play() {
    if (at >= last) at = 0;
    draw();
    toggle.textContent = "Pause";
    timer = setTimeout(tick, STEP_MS / Number(speed.value));
  }

  function tick() {
    // Taken from the page, by a change of view say: nobody is watching.
    if (!element.isConnected) return;
    at += 1;
    draw();
    if (at < last) timer = setTimeout(tick, STEP_MS / Number(speed.value));
    else pause();
  }

  function pause() {
    clearTimeout(timer);
    timer = undefined;
    toggle.textContent = "Play";
  }
}

/** One episode of the player. */
class Screen {
  /**
   * @param {Run} run
   * @param {number} span  Steps of the longest run, so that curves beside each other can be compared.
   */
  constructor(run, span) {
    this.run = run;
    this.span = span;
    this.head = h("div", { class: "screen-head" });
    this.step = h("div", { class: "screen-step" });
    this.world = h("div", { class: "screen-world" });
    this.element = h("article", { class: "screen", "aria-label": run.title }, this.head, this.step, this.world);
  }

  /** @param {number} at  How many steps have been taken. */
  draw(at) {
    const { report, title } = this.run;
    const taken = Math.min(at, report.steps.length);
    const isOver = at >= report.steps.length;
    const isMistake = isOver && report.mistake !== null;
    this.element.classList.toggle("is-sealed", isMistake);
    show(
      this.head,
      h("h3", {}, title),
      h("p", { class: isMistake ? "verdict verdict-loss" : "verdict" }, isOver ? `${points(report.score)}, ${ending(report.outcome)}` : `step ${taken} of ${report.steps.length}`),
      curve(report, taken, this.span),
    );
    show(this.step, taken === 0 ? this.drawStart() : this.drawStep(taken));
    const state = stateAt(report, taken);
    if (state) {
      const before = taken > 0 && at <= report.steps.length ? (stateAt(report, taken - 1) ?? null) : null;
      show(this.world, drawWorld(report.task, { state, before, picked: null, onPick: null }));
    }
  }

  drawStart() {
    const { start } = this.run.report;
    return [
      h("p", { class: "result-what" }, "The start"),
      start && h("details", {}, h("summary", {}, "The job"), h("p", {}, start.task_description)),
    ];
  }

  /** @param {number} taken */
  drawStep(taken) {
    const step = this.run.report.steps[taken - 1];
    const messages = this.run.messages?.[taken - 1];
    return [
      h("p", { class: "result-what" }, `Step ${taken}: `, h("code", {}, callText(step))),
      step.reasoning && h("p", { class: "soft" }, h("q", {}, step.reasoning)),
      h("p", { class: "result-text" }, step.result),
      h(
        "p",
        { class: "step-numbers" },
        riskMark(step.risk),
        h("span", { class: `reward${step.reward < 0 ? " reward-loss" : ""}` }, `reward ${signed(step.reward)}`),
        h("span", {}, `progress ${points(step.progress)}`),
      ),
      messages?.length ? messageList(messages) : null,
    ];
  }
}

/**
 * @param {Report} report
 * @param {number} taken
 */
function stateAt(report, taken) {
  return taken === 0 ? report.start?.current_state : report.steps[taken - 1].current_state;
}

const WIDTH = 300;
const HEIGHT = 56;

/**
 * The progress by step, as far as it has been played.
 * @param {Report} report
 * @param {number} taken
 * @param {number} span
 */
function curve(report, taken, span) {
  const x = (/** @type {number} */ step) => 4 + (step / Math.max(1, span)) * (WIDTH - 8);
  const y = (/** @type {number} */ progress) => HEIGHT - 4 - progress * (HEIGHT - 8);
  const values = [0, ...report.steps.map((step) => step.progress)];
  const path = (/** @type {number} */ upTo) => values.slice(0, upTo + 1).map((value, step) => `${step ? "L" : "M"} ${x(step)} ${y(value)}`).join(" ");
  const now = values[taken];
  const isFatal = report.mistake !== null && taken === report.steps.length;
  return svg(
    "svg",
    { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Progress ${points(now)} after step ${taken}` },
    svg("path", { class: "curve-frame", d: `M 4 4 H ${WIDTH - 4} M 4 ${HEIGHT - 4} H ${WIDTH - 4}` }),
    svg("path", { class: "curve-line", d: path(taken) }),
    // A line without length is a dot that is not stretched with the picture.
    svg("path", { class: "curve-now", d: `M ${x(taken)} ${y(now)} h 0` }),
    isFatal && svg("path", { class: "curve-fatal", d: `M ${x(taken)} 4 V ${HEIGHT - 4}` }),
  );
}
