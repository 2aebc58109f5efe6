/**
 * The public API of the server, as every agent uses it.
 *
 * Owns requests and the sentences for what goes wrong. Must not know the page.
 */

import { Told } from "./notice.js";
import { askForToken, headers } from "./token.js";

/** @typedef {{action_name: string, parameters: Record<string, any>, reasoning: string}} Call */
/** @typedef {Record<string, any>} Schema  A JSON Schema, with `x-source` where values are listed in the state. */
/** @typedef {{name: string, description: string, parameters: Record<string, string>}} ActionInfo */
/** @typedef {{name: string, description: string, parameters: Schema}} ActionCard */
/**
 * @typedef {object} TaskCard
 * @property {string} name
 * @property {number} version
 * @property {string} title
 * @property {string} description
 * @property {string} difficulty
 * @property {number} max_steps
 * @property {{level: number, max_steps: number}[]} levels
 * @property {string[]} framings
 * @property {ActionCard[]} actions
 * @property {{name: string, weight: number, description: string}[]} grader
 */
/**
 * @typedef {object} Observation
 * @property {string} task_description
 * @property {Record<string, any>} current_state
 * @property {ActionInfo[]} available_actions
 * @property {{step: number, action: string, params: Record<string, any>, result: string}[]} action_history
 * @property {number} steps_remaining
 * @property {string} last_action_result
 * @property {Record<string, any>} metadata
 */
/** @typedef {{observation: Observation, reward: number, done: boolean, episode_id: string}} Answer */
/**
 * @typedef {object} ReportStep
 * @property {string} action_name
 * @property {Record<string, any>} parameters
 * @property {string} reasoning
 * @property {string} result
 * @property {number} reward
 * @property {string} risk
 * @property {number} progress
 * @property {Record<string, number>} components
 * @property {Record<string, any>} [current_state]
 */
/**
 * @typedef {object} Mistake
 * @property {number} step
 * @property {boolean} lookalike
 * @property {boolean} protected
 * @property {string} runbook
 * @property {string} asked
 */
/**
 * @typedef {object} Report
 * @property {string} task
 * @property {string} split
 * @property {number} seed
 * @property {number} level
 * @property {string} framing
 * @property {number} score
 * @property {Record<string, {earned: number, weight: number}>} components
 * @property {number} harm
 * @property {number} over_escalations
 * @property {string} outcome
 * @property {number} return
 * @property {number} penalties
 * @property {ReportStep[]} steps
 * @property {Observation} [start]
 * @property {Mistake | null} mistake
 */
/**
 * @typedef {object} Explanation
 * @property {number} step
 * @property {string} would
 * @property {{path: string[], name: string, field: string, was: unknown, would_be: unknown}[]} gone
 * @property {{action: string, text: string, clauses: string[], read_at: number | null, works: boolean | null}[]} runbooks
 * @property {{path: string[], name: string, field: string, value: unknown, shown_at: number | null, by: Call | null}[]} facts
 * @property {Call[] | null} instead
 * @property {{call: Call, answer: string} | null} question
 * @property {string} asked
 */
/** @typedef {{task: string, split: string, seed: number} & import("./variant.js").Variant} Scenario */

/** Where the server is: the page lies right below it. */
const ROOT = new URL("./", document.baseURI);
/** Where the page's files are, of the edition that this page is from. */
const FILES = new URL("../", import.meta.url);

/** Longest wait for an answer. */
const PATIENCE_MS = 20_000;

/** A request that did not get what it asked for. */
export class ApiError extends Told {
  /**
   * @param {string} code  For programs, as the server gives it; `unreachable` if there was no answer.
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * @param {string} method
 * @param {string | URL} path  Below the server, or a file of the page.
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
async function ask(method, path, body) {
  let response = await send(method, path, body);
  // What was refused has not been done, so it is simply asked again.
  while (response.status === 401 && (await askForToken())) response = await send(method, path, body);
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new ApiError("unreadable", `The server gave an answer that is not its own (status ${response.status}). Try again.`);
  }
  if (!response.ok) throw refusal(answer, response.status);
  return answer;
}

/**
 * @param {string} method
 * @param {string | URL} path  Below the server, or a file of the page.
 * @param {unknown} [body]
 */
async function send(method, path, body) {
  try {
    return await fetch(new URL(path, ROOT), {
      method,
      // A file of the page is kept as its headers say, an answer never.
      cache: typeof path === "string" ? "no-store" : "default",
      headers: { ...headers(), ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  } catch {
    throw new ApiError("unreachable", "The server gave no answer. Nothing is lost: try again when it is back.");
  }
}

/**
 * @param {any} answer
 * @param {number} status
 */
function refusal(answer, status) {
  const detail = answer?.detail;
  if (Array.isArray(detail)) {
    const found = detail.map((one) => `${one.loc?.join(".")}: ${one.msg}`).join("; ");
    return new ApiError("invalid_request", `The server did not take this: ${found}.`);
  }
  if (typeof detail?.message === "string") {
    const text = detail.message.charAt(0).toUpperCase() + detail.message.slice(1);
    return new ApiError(String(detail.code), /[.!?]$/.test(text) ? text : `${text}.`);
  }
  return new ApiError("http_error", `The server answered with status ${status}. Try again.`);
}

/** @type {Promise<TaskCard[]> | null} */
let cards = null;

/**
 * Every task with its fixed actions and what its grade is made of.
 * @returns {Promise<TaskCard[]>}
 */
export function tasks() {
  cards ??= ask("GET", "tasks").then((answer) => answer.tasks);
  cards.catch(() => (cards = null));
  return cards;
}

/**
 * The card of one task.
 * @param {string} name
 */
export async function taskCard(name) {
  const all = await tasks();
  const found = all.find((card) => card.name === name);
  if (!found) throw new ApiError("unknown_task", `This server has no task ${name}; it has ${all.map((c) => c.name).join(", ")}.`);
  return found;
}

/** @returns {Promise<{name: string, description: string}[]>} */
export async function policies() {
  return (await ask("GET", "policies")).policies;
}

/** @returns {Promise<{version: string}>} */
export function health() {
  return ask("GET", "health");
}

/**
 * Starts an episode. The id is ours, so that a repeat does not start another one.
 * @param {Scenario} scenario
 * @returns {Promise<Answer>}
 */
export function reset({ task, split, seed, level, framing }) {
  const episode_id = crypto.randomUUID?.() ?? randomId();
  return ask("POST", "reset", { task_name: task, split, seed, level, framing, episode_id });
}

/** An id where `randomUUID` is not to be had: on plain http from another machine. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Takes a step. A repeat with the same `requestId` does not act twice.
 * @param {string} episodeId
 * @param {Call} call
 * @param {string} requestId
 * @returns {Promise<Answer>}
 */
export function step(episodeId, call, requestId) {
  return ask("POST", "step", { action: call, episode_id: episodeId, request_id: requestId });
}

/**
 * The last answer of an episode once more.
 * @param {string} episodeId
 * @returns {Promise<Answer>}
 */
export function lastAnswer(episodeId) {
  return ask("GET", `episodes/${encodeURIComponent(episodeId)}/observation`);
}

/**
 * @typedef {object} Live
 * @property {string} task_name
 * @property {string} split
 * @property {number} level
 * @property {string} framing
 * @property {number | null} seed
 * @property {boolean} done
 * @property {number} steps_remaining
 * @property {Record<string, any>} current_state
 * @property {(Call & {result: string})[]} steps
 */

/**
 * An episode as somebody else plays it, with the reasons given. For whoever started it.
 * @param {string} episodeId
 * @returns {Promise<Live>}
 */
export function live(episodeId) {
  return ask("GET", `episodes/${encodeURIComponent(episodeId)}/live`);
}

/**
 * Ends an episode that still runs.
 * @param {string} episodeId
 */
export function finish(episodeId) {
  return ask("POST", "grader", { episode_id: episodeId, finish: true });
}

/**
 * The annotated record of a finished episode, with what was shown after every step.
 * @param {string} episodeId
 * @returns {Promise<Report>}
 */
export function report(episodeId) {
  return ask("GET", `episodes/${encodeURIComponent(episodeId)}/report?states=true`);
}

/**
 * The mistake of a finished episode explained; `null` if there was none.
 * @param {string} episodeId
 * @param {Report} report
 * @returns {Promise<Explanation | null>}
 */
export async function explanation(episodeId, report) {
  if (!report.mistake) return null;
  return (await ask("GET", `episodes/${encodeURIComponent(episodeId)}/explanation`)).explanation;
}

/**
 * The expert's way through the scenario of a finished episode.
 * @param {string} episodeId
 * @returns {Promise<Report>}
 */
export function expert(episodeId) {
  return ask("GET", `episodes/${encodeURIComponent(episodeId)}/expert`);
}

/**
 * Has a policy play an episode of its own.
 * @param {string} task
 * @param {number} seed
 * @param {import("./variant.js").Variant} variant
 * @param {string} policy
 * @returns {Promise<{episode_id: string}>}
 */
export function watch(task, seed, { level, framing }, policy) {
  return ask("POST", "watch", { task_name: task, seed, level, framing, policy });
}

/**
 * Has the server forget an episode that nobody needs any more. It would forget it by itself, only later.
 * @param {string} episodeId
 */
export function forget(episodeId) {
  ask("DELETE", `episodes/${encodeURIComponent(episodeId)}`).catch(() => {});
}

/** The tables and figures that were recorded when the package was made. */
export async function recorded() {
  return ask("GET", new URL("results.json", FILES));
}

/** The two episodes of the first screen. */
export async function firstRecorded() {
  return ask("GET", new URL("recorded/first.json", FILES));
}

/** The players of the official suite, and an outcome for every scenario. */
export async function atlas() {
  return ask("GET", new URL("atlas.json", FILES));
}

/**
 * The recorded episodes of a player, as a file.
 * @param {string} name
 */
export async function recordedFile(name) {
  const response = await send("GET", new URL(`recorded/suite/${encodeURIComponent(name)}.jsonl.gz`, FILES));
  if (!response.ok) throw new ApiError("unknown_recording", `There are no recorded episodes of ${name}.`);
  return new File([await response.blob()], `${name}.jsonl.gz`);
}
