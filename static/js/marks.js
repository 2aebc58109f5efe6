/**
 * What kind each step was, as a mark: a look, a question, an act, the mistake.
 *
 * Owns the marks, where two episodes part, and the track under the scrubber. Read from reports, so after the end.
 */

import { h, unseen } from "./dom.js";
import { callText } from "./text.js";

/** @typedef {import("./api.js").Report} Report */
/** @typedef {"look" | "ask" | "act" | "mistake"} Kind */

/** @type {Record<Kind, [mark: string, text: string]>} */
const MARKS = { look: ["○", "look"], ask: ["?", "question"], act: ["◆", "act"], mistake: ["✕", "mistake"] };

/**
 * @param {Report} report
 * @param {number} index
 * @returns {Kind}
 */
export function kindOf(report, index) {
  if (report.mistake?.step === index + 1) return "mistake";
  const { risk } = report.steps[index];
  if (risk === "escalate") return "ask";
  return risk === "safe" || risk === "unknown" ? "look" : "act";
}

/** @param {Kind} kind */
export function mark(kind) {
  const [sign, text] = MARKS[kind];
  return h("span", { class: `mark mark-${kind}` }, h("span", { "aria-hidden": "true" }, sign), unseen(` ${text} `));
}

/**
 * The first step at which two episodes differ, from 0, or `null` if neither does anything that the other does not.
 * @param {Report[]} reports
 */
export function parting(reports) {
  if (reports.length < 2) return null;
  const [one, other] = reports.map((report) => report.steps.map(callText));
  const index = one.findIndex((text, at) => text !== other[at]);
  return index >= 0 ? index : one.length < other.length ? one.length : null;
}

/**
 * The marks of an episode under the scrubber, for the eye and the mouse; the list of steps tells the same.
 * @param {Report} report
 * @param {number} span  Steps of the longest episode.
 * @param {number | null} parts  Where it parts from the other one.
 * @param {(step: number) => void} go
 */
export function track(report, span, parts, go) {
  return h(
    "div",
    { class: "track", "aria-hidden": "true" },
    report.steps.map((step, index) => {
      const kind = kindOf(report, index);
      return h(
        "span",
        {
          class: `track-mark mark-${kind}${parts === index ? " is-parting" : ""}`,
          vars: { "--at": (index + 1) / Math.max(1, span) },
          title: `${index + 1}: ${callText(step)}`,
          on: { click: () => go(index + 1) },
        },
        MARKS[kind][0],
      );
    }),
  );
}

/** What the marks mean. */
export function legend() {
  return h("p", { class: "legend", "aria-hidden": "true" }, Object.values(MARKS).map(([sign, text]) => h("span", {}, `${sign} ${text}`)));
}
