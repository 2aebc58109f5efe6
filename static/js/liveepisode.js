/**
 * Following an episode of this server, whoever plays it.
 *
 * Owns what is asked for at each look. Only the end is followed by a report.
 */

import { played } from "./again.js";
import { ApiError, explanation, live, report, taskCard } from "./api.js";
import { h, put, show } from "./dom.js";
import { LiveStage } from "./livestage.js";
import { createPlayer } from "./player.js";
import { count } from "./text.js";
import { variantText } from "./variant.js";

/**
 * @param {string} id
 * @param {HTMLElement} place
 * @param {HTMLElement} said
 * @returns {import("./live.js").Look}
 */
export function followEpisode(id, place, said) {
  const stage = new LiveStage();
  let taken = -1;
  return async () => {
    const found = await live(id).catch((error) => {
      if (taken >= 0 && isUnknown(error)) return null;
      throw error;
    });
    if (found === null) {
      said.textContent = `The episode is no longer on this server: who played it gave it back, or it expired. Below is what was seen of it, ${count(taken, "step")}.`;
      return false;
    }
    if (!stage.element.isConnected) put(place, stage.element);
    if (found.done) {
      await showEnd(id, found, place);
      said.textContent = "The episode is over: here it is again, with what each step was.";
      return false;
    }
    if (found.steps.length !== taken) {
      taken = found.steps.length;
      stage.draw(found.task_name, found.current_state, found.steps);
      const card = await taskCard(found.task_name);
      said.textContent = `${card.title}, ${found.split}${variantText(found)}: ${count(taken, "step")} taken, ${found.steps_remaining} left. It is looked at every second.`;
    }
    return true;
  };
}

/** @param {unknown} error */
function isUnknown(error) {
  return error instanceof ApiError && error.code === "unknown_episode";
}

/**
 * @param {string} id
 * @param {import("./api.js").Live} found
 * @param {HTMLElement} place
 */
async function showEnd(id, found, place) {
  const run = await told(id, found);
  show(place, createPlayer([run], { at: run.report.steps.length }).element);
}

/**
 * The report of the episode; of a WebSocket's, which the server does not keep, that of the same calls once more.
 * @param {string} id
 * @param {import("./api.js").Live} found
 * @returns {Promise<import("./screen.js").Run>}
 */
async function told(id, found) {
  const who = "The agent";
  try {
    const made = await report(id);
    return { title: who, report: made, told: await explanation(id, made) };
  } catch (error) {
    if (!isUnknown(error) || found.seed === null) throw error;
  }
  const { task_name: task, split, seed, level, framing, steps } = found;
  const recording = { who, scenario: { task, split, seed, level, framing }, calls: steps, attempt: null, messages: [], claims: {} };
  const again = await played(recording, await taskCard(task), h("progress", {}), () => false);
  return /** @type {NonNullable<typeof again>} */ (again).run;
}
