/**
 * Trajectory files: one JSON object per line, or one alone, packed with gzip or not.
 *
 * Owns how a file is read. It is only read for what was called: what came of it, the server's replay tells.
 */

import { readCalls, readScenario } from "./link.js";
import { byStep } from "./messages.js";
import { Told, Unreadable } from "./notice.js";
import { DEFAULT, readVariant } from "./variant.js";

/** @typedef {import("./api.js").Call} Call */
/**
 * @typedef {object} Recording
 * @property {string} who
 * @property {import("./api.js").Scenario} scenario
 * @property {Call[]} calls
 * @property {number | null} attempt
 * @property {import("./messages.js").Message[][]} messages
 * @property {Record<string, any>} claims  What the file says came of it.
 */

/** Largest file that is read, unpacked. */
const MOST_BYTES = 64_000_000;

/** @typedef {{name: string, text: string, recordings: Recording[], skipped: string[]}} Opened */

/**
 * @param {File} file
 * @returns {Promise<Opened>}
 */
export async function readFile(file) {
  return readText(file.name, await textOf(file));
}

/**
 * @param {string} name
 * @param {string} text
 * @returns {Opened}
 */
export function readText(name, text) {
  const whole = parsed(text);
  const isOne = typeof whole === "object" && whole !== null && !Array.isArray(whole);
  const lines = isOne ? [whole] : Array.isArray(whole) ? whole : text.split("\n").filter((line) => line.trim()).map(parsed);
  /** @type {Recording[]} */
  const recordings = [];
  /** @type {string[]} */
  const skipped = [];
  for (const [index, line] of lines.entries()) {
    try {
      recordings.push(readRecord(line));
    } catch (error) {
      if (!(error instanceof Told)) throw error;
      skipped.push(`Line ${index + 1}: ${error.message}`);
    }
  }
  if (recordings.length === 0) {
    throw new Unreadable(`There is no trajectory in ${name}. ${skipped[0] ?? "The file is empty."} Files come from safeact eval --out, or inference.py.`);
  }
  return { name, text, recordings, skipped };
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @param {File} file */
async function textOf(file) {
  const isPacked = file.name.endsWith(".gz");
  const stream = isPacked ? file.stream().pipeThrough(new DecompressionStream("gzip")) : file.stream();
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      size += value.length;
      if (size > MOST_BYTES) throw new Unreadable(`The file is over ${MOST_BYTES / 1e6} MB. Cut it: each line stands for itself.`);
      text += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    if (error instanceof Told) throw error;
    throw new Unreadable(`${file.name} cannot be read.`);
  }
}

/**
 * @param {any} record
 * @returns {Recording}
 */
export function readRecord(record) {
  if (typeof record !== "object" || record === null) throw new Unreadable("This is not a JSON object.");
  const task = record.task ?? record.task_name;
  if (typeof task !== "string") throw new Unreadable("It names no task.");
  if (typeof record.seed !== "number" || !Number.isSafeInteger(record.seed)) {
    throw new Unreadable(`It has no seed that this page can read (a whole number up to ${Number.MAX_SAFE_INTEGER}).`);
  }
  const { level = DEFAULT.level, framing = DEFAULT.framing } = record;
  const scenario = {
    ...readScenario(new URLSearchParams({ task, split: String(record.split ?? "train"), seed: String(record.seed) })),
    ...readVariant(level, framing),
  };
  const calls = readCalls(record.calls ?? record.actions);
  const model = record.model;
  const name = typeof model?.name === "string" ? model.name : record.policy;
  return {
    who: typeof name === "string" ? name : "A recording",
    scenario,
    calls,
    attempt: typeof record.attempt === "number" ? record.attempt : null,
    messages: byStep(model?.messages ?? record.messages, calls.length),
    claims: record,
  };
}

/**
 * What a file claims and a replay does not bear out, a sentence each.
 * @param {Recording} recording
 * @param {import("./api.js").Report} report
 * @param {{version: string, task_version: number}} here  What the replay was made with.
 */
export function contradictions(recording, report, here) {
  const { claims } = recording;
  /** @type {string[]} */
  const found = [];
  for (const [field, value] of Object.entries(here)) {
    if (field in claims && claims[field] !== value) {
      found.push(`The file was recorded with ${field.replaceAll("_", " ")} ${claims[field]}, and this server has ${value}: the same calls may go otherwise.`);
    }
  }
  for (const field of /** @type {const} */ (["score", "outcome", "return"])) {
    if (field in claims && claims[field] !== null && claims[field] !== report[field]) {
      found.push(`The file says ${field} ${claims[field]}; the replay gives ${report[field]}.`);
    }
  }
  const rewards = Array.isArray(claims.rewards) ? claims.rewards : [];
  const differing = rewards.findIndex((reward, index) => reward !== report.steps[index]?.reward);
  if (differing >= 0) found.push(`From step ${differing + 1} on, the rewards in the file are not those of the replay.`);
  const left = recording.calls.length - report.steps.length;
  if (left > 0) found.push(`The episode is over before the file is: its last ${left} calls are not played.`);
  return found;
}
