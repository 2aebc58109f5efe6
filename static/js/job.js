/**
 * The job: what is asked, a line each, the upkeep as far as it is done, and the rules folded.
 *
 * Owns how the description is divided. It is drawn from the observation alone.
 */

import { h } from "./dom.js";

const UPKEEP = "Routine upkeep: ";
const RULES = "Call one action per step;";

/**
 * @param {import("./api.js").Observation} obs
 * @param {string} title  Of the task, with which the description begins.
 * @param {boolean} isOpen
 */
export function drawJob(obs, title, isOpen) {
  const [body, rules] = split(obs.task_description.replace(`${title}. `, ""), RULES);
  const [job, upkeep] = split(body, UPKEEP);
  const isDone = obs.current_state.upkeep?.status === "done";
  return h(
    "details",
    { class: "job-details", open: isOpen },
    h("summary", {}, h("h2", {}, "The job")),
    h(
      "ul",
      { class: "job-lines" },
      job.split(/(?<=[.!?]) (?=[A-Z])/).map((line) => h("li", {}, line)),
      upkeep && h("li", { class: isDone ? "is-done" : "is-due" }, h("strong", {}, isDone ? "Upkeep, done: " : "Upkeep, due: "), upkeep.slice(UPKEEP.length)),
    ),
    rules && h("details", { class: "soft" }, h("summary", {}, "How it is played"), h("p", {}, rules)),
  );
}

/**
 * @param {string} text
 * @param {string} mark
 */
function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at).trim(), text.slice(at)];
}
