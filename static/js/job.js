/**
 * The job: what it comes to as far as it is known, as a checklist; the brief, and how it is played, folded.
 *
 * Owns how the description is divided. It is drawn from the observation alone.
 */

import { h } from "./dom.js";
import { checklist } from "./worlds/world.js";

const UPKEEP = "Routine upkeep: ";
const RULES = "Call one action per step;";

/**
 * @param {import("./api.js").Observation} obs
 * @param {import("./api.js").TaskCard} card
 * @param {boolean} isOpen
 * @param {boolean} isNew  Whether nothing has been done yet: then the brief is open, to be read.
 */
export function drawJob(obs, card, isOpen, isNew) {
  const [body, rules] = split(obs.task_description.replace(`${card.title}. `, ""), RULES);
  const [job, upkeep] = split(body, UPKEEP);
  const isDone = obs.current_state.upkeep?.status === "done";
  return h(
    "details",
    { class: "job-details", open: isOpen },
    h("summary", {}, h("h2", {}, "The job")),
    h("details", { class: "brief", open: isNew }, h("summary", {}, "The brief"), h("ul", { class: "job-lines" }, sentences(job))),
    h(
      "ul",
      { class: "checklist", "aria-label": "What it comes to, as far as it is known" },
      checklist(card.name, obs.current_state).map(drawLine),
      upkeep && h("li", { class: isDone ? "is-done" : "is-due" }, h("span", {}, isDone ? "Upkeep, done: " : "Upkeep, due: ", h("span", { class: "soft" }, upkeep.slice(UPKEEP.length)))),
    ),
    rules && h("details", { class: "soft" }, h("summary", {}, "How it is played"), h("p", {}, rules)),
  );
}

/** @param {import("./worlds/world.js").Line} line */
function drawLine({ text, done, of, isWhole }) {
  // Nothing of that kind is known so far: there may be none.
  const isIdle = of === 0;
  const number = isIdle ? (isWhole ? "none" : "none known so far") : `${done} of ${of}${isWhole ? "" : " known so far"}`;
  return h("li", { class: isWhole && done >= of ? "is-done" : "is-due" }, h("span", {}, text), h("span", { class: "checklist-number" }, number));
}

/** @param {string} text */
function sentences(text) {
  return text.split(/(?<=[.!?]) (?=[A-Z])/).map((line) => h("li", {}, line));
}

/**
 * @param {string} text
 * @param {string} mark
 */
function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at).trim(), text.slice(at)];
}
