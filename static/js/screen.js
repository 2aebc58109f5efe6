/**
 * One episode on the screen of a player: who, which step, its result, the world, the list of steps.
 *
 * Owns what is shown of a step. It draws reports, whoever played.
 */

import { cutWorld } from "./cut.js";
import { h, show, svg } from "./dom.js";
import { explained } from "./explained.js";
import { gradeSum } from "./grade.js";
import { kindOf, mark } from "./marks.js";
import { messageList } from "./messages.js";
import { riskMark } from "./risk.js";
import { callText, ending, points, signed } from "./text.js";
import { drawWorld } from "./worlds/world.js";

/** @typedef {import("./api.js").Report} Report */
/**
 * @typedef {object} Run
 * @property {string} title  Who played.
 * @property {Report} report  With states.
 * @property {import("./api.js").Explanation | null} [told]  Of its mistake.
 * @property {import("./messages.js").Message[][]} [messages]  Of a model, by step.
 */

export class Screen {
  /**
   * @param {Run} run
   * @param {number} span  Steps of the longest run, so that curves beside each other can be compared.
   * @param {number | null} parts  The step at which it parts from the other, from 0.
   * @param {(step: number) => void} go
   */
  constructor(run, span, parts, go) {
    this.run = run;
    this.span = span;
    this.head = h("div", { class: "screen-head" });
    this.step = h("div", { class: "screen-step" });
    this.world = h("div", { class: "screen-world" });
    this.list = this.drawList(parts, go);
    this.box = h("div", { class: "screen-box", tabindex: "0", role: "region", "aria-label": `What ${run.title} knew` }, this.world);
    this.element = h("article", { class: "screen", "aria-label": run.title }, this.head, this.step, this.list, this.box);
  }

  /**
   * @param {number | null} parts
   * @param {(step: number) => void} go
   */
  drawList(parts, go) {
    const { report } = this.run;
    return h(
      "details",
      { class: "step-list" },
      h("summary", {}, `The ${report.steps.length} steps`),
      h(
        "ol",
        {},
        report.steps.map((step, index) =>
          h(
            "li",
            { class: parts === index ? "is-parting" : null },
            h("button", { type: "button", class: "step-of", on: { click: () => go(index + 1) } }, mark(kindOf(report, index)), ` ${index + 1} `, h("code", {}, callText(step))),
            parts === index && h("span", { class: "soft" }, " here they part"),
          ),
        ),
      ),
    );
  }

  /** @param {number} at  How many steps have been taken. */
  draw(at) {
    const { report, title, told } = this.run;
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
    for (const [index, button] of this.list.querySelectorAll("button").entries()) {
      if (index === taken - 1) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    const state = stateAt(report, taken);
    const before = taken > 0 && at <= report.steps.length ? (stateAt(report, taken - 1) ?? null) : null;
    const isTold = isMistake && told;
    const world = state && (isTold ? cutWorld(report.task, state, told) : drawWorld(report.task, { state, before, picked: null, onPick: null }));
    show(
      this.world,
      isTold && explained(report, told),
      isOver && h("details", { class: "sum-of" }, h("summary", {}, `How the grade comes to ${points(report.score)}`), gradeSum(report)),
      world,
    );
    this.follow(isMistake);
  }

  /**
   * Brings into sight what the step has changed, within the box only: the page itself stays where it is.
   * @param {boolean} isMistake
   */
  follow(isMistake) {
    const changed = isMistake ? null : this.world.querySelector(".is-new");
    const card = changed?.closest(".card") ?? changed;
    const top = card ? card.getBoundingClientRect().top - this.box.getBoundingClientRect().top + this.box.scrollTop : 0;
    if (card || isMistake) this.box.scrollTop = Math.max(0, top - 12);
    const current = this.list.querySelector("[aria-current]");
    const list = this.list.querySelector("ol");
    if (current instanceof HTMLElement && list) list.scrollTop = current.offsetTop - 60;
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
    const { report, messages } = this.run;
    const step = report.steps[taken - 1];
    const said = messages?.[taken - 1];
    return [
      h("p", { class: "result-what" }, mark(kindOf(report, taken - 1)), ` Step ${taken}: `, h("code", {}, callText(step))),
      step.reasoning && h("p", { class: "soft" }, h("q", {}, step.reasoning)),
      h("p", { class: "result-text" }, step.result),
      h(
        "p",
        { class: "step-numbers" },
        riskMark(step.risk),
        h("span", { class: `reward${step.reward < 0 ? " reward-loss" : ""}` }, `reward ${signed(step.reward)}`),
        h("span", {}, `progress ${points(step.progress)}`),
      ),
      said?.length ? messageList(said) : null,
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
