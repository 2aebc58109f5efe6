/**
 * Addresses within the page: which view, with what. An episode's link reproduces the episode.
 *
 * Owns the form of the fragment. What is read from one is checked here, as anybody may have written it.
 */

import { Unreadable } from "./notice.js";
import { DEFAULT, readVariant } from "./variant.js";

/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./api.js").Scenario} Scenario */

const SPLITS = ["train", "test"];
const MOST_CALLS = 1000;

/**
 * The view and its parameters that a fragment names.
 * @param {string} fragment  Such as `#/play?task=easy`.
 */
export function parse(fragment) {
  const [path, query = ""] = fragment.replace(/^#\/?/, "").split("?", 2);
  return { view: path || "lobby", params: new URLSearchParams(query) };
}

/**
 * A level and a framing go without saying where they are the default ones.
 * @param {string} view
 * @param {Record<string, string | number>} params
 */
export function to(view, params) {
  /** @type {Record<string, string | number>} */
  const unsaid = DEFAULT;
  const said = Object.entries(params).filter(([name, value]) => unsaid[name] !== value);
  const query = new URLSearchParams(said.map(([name, value]) => [name, String(value)]));
  return `#/${view}?${query}`;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let keeping;

/**
 * Keeps the step that is shown in the address, so that a reload, Back and a link come to it again.
 * @param {number} step
 */
export function keepStep(step) {
  const address = location.hash;
  clearTimeout(keeping);
  // Browsers allow a limited number of changes at a time, and a scrubber makes many.
  keeping = setTimeout(() => {
    // What is shown by now may be another recording.
    if (location.hash !== address) return;
    const { view, params } = parse(address);
    if (step > 0) params.set("step", String(step));
    else params.delete("step");
    history.replaceState(history.state, "", `#/${view}?${params}`);
  }, 150);
}

window.addEventListener("hashchange", () => clearTimeout(keeping));

/**
 * The step that an address names, 0 if it names none.
 * @param {URLSearchParams} params
 */
export function stepOf(params) {
  const text = params.get("step") ?? "0";
  return /^\d{1,4}$/.test(text) ? Number(text) : 0;
}

/**
 * Goes to an address within the page, or to it again.
 * @param {string} hash
 */
export function goTo(hash) {
  // The same address is no change of address: say so.
  if (location.hash === hash) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = hash;
}

/** A seed for a fresh episode, short enough to be read out. */
export function freshSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
}

/**
 * @param {unknown} text
 * @returns {number}
 */
export function readSeed(text) {
  const seed = typeof text === "string" && /^\d{1,16}$/.test(text.trim()) ? Number(text) : text;
  if (typeof seed !== "number" || !Number.isSafeInteger(seed) || seed < 0) {
    throw new Unreadable(`A seed is a whole number from 0 to ${Number.MAX_SAFE_INTEGER} here.`);
  }
  return seed;
}

/**
 * The variant that parameters name.
 * @param {URLSearchParams} params
 */
export function variantOf(params) {
  const level = params.get("level") ?? String(DEFAULT.level);
  return readVariant(/^\d$/.test(level) ? Number(level) : level, params.get("framing") ?? DEFAULT.framing);
}

/**
 * The scenario that parameters name; without a seed, a fresh one.
 * @param {URLSearchParams} params
 * @returns {Scenario}
 */
export function readScenario(params) {
  const split = params.get("split") ?? "train";
  if (!SPLITS.includes(split)) throw new Unreadable("The split is either train or test.");
  const seed = params.get("seed");
  const variant = variantOf(params);
  return { task: params.get("task") ?? "easy", split, seed: seed === null ? freshSeed() : readSeed(seed), ...variant };
}

/**
 * Calls from elsewhere, checked for their form. What they do, the server decides.
 * @param {unknown} calls
 * @returns {Call[]}
 */
export function readCalls(calls) {
  if (!Array.isArray(calls)) throw new Unreadable("There is no list of calls.");
  if (calls.length > MOST_CALLS) throw new Unreadable(`There are more than ${MOST_CALLS} calls.`);
  return calls.map((call, index) => {
    const { action_name, parameters, reasoning } = call ?? {};
    const isObject = typeof parameters === "object" && parameters !== null && !Array.isArray(parameters);
    if (typeof action_name !== "string" || typeof reasoning !== "string" || !isObject) {
      throw new Unreadable(`Call ${index + 1} is not an action with parameters and reasoning.`);
    }
    return { action_name, parameters, reasoning };
  });
}

/**
 * A link that plays an episode again, call by call.
 * @param {Scenario} scenario
 * @param {Call[]} calls
 */
export async function ofEpisode(scenario, calls) {
  const short = calls.map((call) => [call.action_name, call.parameters, call.reasoning]);
  const bytes = await piped(new TextEncoder().encode(JSON.stringify(short)), new CompressionStream("deflate-raw"));
  const text = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return to("replay", { ...scenario, calls: text });
}

/**
 * The calls of such a link.
 * @param {string} text
 * @returns {Promise<Call[]>}
 */
export async function callsOf(text) {
  let short;
  try {
    const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = await piped(
      Uint8Array.from(raw, (char) => char.charCodeAt(0)),
      new DecompressionStream("deflate-raw"),
    );
    short = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Unreadable("The calls in this link cannot be read; it may have been cut off.");
  }
  if (!Array.isArray(short)) throw new Unreadable("There is no list of calls in this link.");
  return readCalls(short.map((call) => ({ action_name: call?.[0], parameters: call?.[1], reasoning: call?.[2] })));
}

/** Most bytes that a link may unfold to. */
const MOST_BYTES = 2_000_000;

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {CompressionStream | DecompressionStream} through
 */
async function piped(bytes, through) {
  const reader = new Blob([bytes]).stream().pipeThrough(through).getReader();
  /** @type {number[]} */
  const out = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Uint8Array.from(out);
    if (out.length + value.length > MOST_BYTES) throw new RangeError("too long");
    for (const byte of value) out.push(byte);
  }
}
