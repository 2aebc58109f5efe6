/**
 * Taking an episode on from a step of somebody else's: the calls before it are played again, the rest is yours.
 *
 * Owns the address of a branch, which is a puzzle by link. What the calls do, the server decides.
 */

import { randomId, reset, step } from "./api.js";
import { h, put } from "./dom.js";
import { callsOf, goTo, ofEpisode, readScenario, stepOf, to } from "./link.js";
import { Unreadable } from "./notice.js";
import { keep } from "./store.js";
import { count } from "./text.js";

/** @typedef {import("./api.js").Report} Report */

/**
 * Whether somebody may go on from a step: an episode of train that was not over by then.
 * @param {Report} report
 * @param {number} at
 */
export function canBranch(report, at) {
  return report.split === "train" && at < report.steps.length;
}

/**
 * The link by which others take it from the same step.
 * @param {Report} report
 * @param {number} at  Steps that are kept.
 */
export async function branchLink({ task, split, seed, level, framing, steps }, at) {
  const link = await ofEpisode({ task, split, seed, level, framing }, steps.slice(0, at));
  return link.replace("#/replay?", "#/branch?");
}

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  const scenario = readScenario(params);
  if (scenario.split !== "train") throw new Unreadable("Only an episode of the split train can be taken on.");
  const calls = await callsOf(params.get("calls") ?? "");
  const kept = calls.slice(0, stepOf(params) || calls.length);
  put(place, h("h1", {}, "Taking it from here"), h("p", { role: "status" }, `Playing ${count(kept.length, "step")} again.`));
  let answer = await reset(scenario);
  const episode = { id: answer.episode_id, scenario, turns: /** @type {import("./approvals.js").Turn[]} */ ([]) };
  for (const call of kept) {
    if (answer.done) throw new Unreadable("The episode of this link is over before its last step.");
    answer = await step(episode.id, call, randomId());
    if (!place.isConnected) return;
    episode.turns.push({ ...call, result: answer.observation.last_action_result, reward: answer.reward });
  }
  keep(episode);
  // In the place of this address, to which Back would play it all again.
  location.replace(to("play", scenario));
}

/**
 * @param {Report} report
 * @param {number} at
 */
export async function branch(report, at) {
  goTo(await branchLink(report, at));
}
