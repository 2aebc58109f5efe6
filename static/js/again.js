/**
 * A recording played again on the server.
 *
 * Owns how calls from elsewhere are played. Nothing that a file says came of them is believed: they are sent to the
 * server one by one, and what is shown is its report.
 */

import { explanation, finish, forget, health, randomId, report, reset, step } from "./api.js";
import { contradictions } from "./records.js";
import { count, ending, points } from "./text.js";
import { variantText } from "./variant.js";

/** @typedef {import("./records.js").Recording} Recording */

/**
 * Plays a recording again on the server; `null` if another one was asked for meanwhile.
 * @param {Recording} recording
 * @param {import("./api.js").TaskCard} card
 * @param {HTMLProgressElement} progress
 * @param {() => boolean} isLate
 */
export async function played(recording, card, progress, isLate) {
  const { scenario, calls: wanted } = recording;
  let { episode_id: id, done } = await reset(scenario);
  for (const call of wanted) {
    if (done || isLate()) break;
    done = (await step(id, call, randomId())).done;
    progress.value += 1;
  }
  const isOpen = !done;
  if (isOpen) await finish(id);
  const [made, { version }] = await Promise.all([report(id), health()]);
  const told = await explanation(id, made);
  forget(id);
  if (isLate()) return null;
  const said = contradictions(recording, isOpen ? { ...made, steps: made.steps.slice(0, -1) } : made, { version, task_version: card.version });
  if (isOpen) said.push("The recording stops before the episode ends; it was handed over as it stood.");
  return { run: { title: recording.who, report: made, told, messages: recording.messages }, said };
}

/** @param {Recording} one */
export function label({ who, scenario, attempt }) {
  const parts = [`${who} ${scenario.task} ${scenario.split}${variantText(scenario)}`, `seed ${scenario.seed}`];
  return [...parts, attempt !== null && attempt > 1 && `attempt ${attempt}`].filter(Boolean).join(", ");
}

/** @param {Recording} one */
export function claim({ calls, claims }) {
  const grade = typeof claims.score === "number" ? `${points(claims.score)}, ${ending(String(claims.outcome))}` : "";
  return [count(calls.length, "call"), grade].filter(Boolean).join(", ");
}
