/**
 * What was said to a model and what it answered.
 *
 * Owns how a conversation is divided into steps and drawn. It comes from a file: nothing in it is believed to have
 * the form it should, and all of it is shown as text.
 */

import { h } from "./dom.js";

/** @typedef {{role: string, text: string}} Message */

/**
 * @param {unknown} value
 * @returns {string}
 */
function textOf(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((part) => textOf(part?.text ?? part)).join("\n");
  return JSON.stringify(value, null, 2);
}

/**
 * @param {any} message
 * @returns {Message}
 */
function readMessage(message) {
  const calls = Array.isArray(message?.tool_calls) ? message.tool_calls : [];
  const made = calls.map((/** @type {any} */ call) => `${textOf(call?.function?.name)} ${textOf(call?.function?.arguments)}`);
  const parts = [textOf(message?.reasoning_content), textOf(message?.content), ...made];
  return { role: textOf(message?.role) || "message", text: parts.filter(Boolean).join("\n") };
}

/**
 * The messages of each call: what came before the model's answer, and the answer.
 *
 * A list of lists is one list for each call. A plain conversation is cut after every answer of the model; what is
 * said after the last one belongs to it.
 * @param {unknown} messages
 * @param {number} calls
 * @returns {Message[][]}
 */
export function byStep(messages, calls) {
  if (!Array.isArray(messages)) return [];
  if (messages.every(Array.isArray)) return messages.map((part) => part.map(readMessage));
  /** @type {Message[][]} */
  const steps = [[]];
  for (const message of messages.map(readMessage)) {
    const open = steps[steps.length - 1];
    if (open.at(-1)?.role === "assistant" && steps.length < calls) steps.push([message]);
    else open.push(message);
  }
  return steps;
}

/** Longest message that is shown at once; of a longer one its beginning. */
const SHORT = 600;

/** Longest part of a message that is shown: a browser takes seconds to set a megabyte. */
const LONG = 50_000;

/** @param {Message[]} messages */
export function messageList(messages) {
  return h(
    "details",
    { class: "messages", open: true },
    h("summary", {}, `What the model was told and said (${messages.length})`),
    h(
      "ol",
      {},
      messages.map(({ role, text }) => {
        const isOwn = role === "assistant";
        const cut = text.length > LONG && h("p", { class: "soft" }, `The first ${LONG} of ${text.length} characters; the file has the rest.`);
        const whole = [h("pre", { tabindex: "0" }, text.slice(0, LONG)), cut];
        const isFolded = !isOwn && text.length > SHORT;
        return h(
          "li",
          { class: `message message-${isOwn ? "own" : "other"}` },
          h("p", { class: "message-role" }, role),
          isFolded ? h("details", {}, h("summary", {}, `${text.slice(0, 90)}… (${text.length} characters)`), whole) : whole,
        );
      }),
    ),
  );
}
