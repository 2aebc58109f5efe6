/**
 * Which of a task's published actions only look, by the verbs of their names, and what is one click away.
 *
 * Must not know risk: what an action turned out to be is told after the end. Look-alikes are never taken for looks.
 */

import { h } from "./dom.js";
import { words } from "./text.js";

/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./api.js").TaskCard} TaskCard */

const VERBS = /^(read|list|describe|check|analyze|review|verify|request|query)_/;
const REASON = "Look before acting.";

/**
 * @param {TaskCard} card
 * @param {string} name
 */
export function isLook(card, name) {
  return VERBS.test(name) && card.actions.some((action) => action.name === name);
}

/**
 * The looks at a thing that need no more than the thing.
 * @param {TaskCard} card
 * @param {import("./forms.js").Pick} pick
 * @returns {Call[]}
 */
export function looksAt(card, pick) {
  const own = Object.keys(pick).at(-1) ?? "";
  return card.actions.flatMap(({ name, parameters: { properties, required } }) => {
    if (!isLook(card, name)) return [];
    /** @type {Record<string, any>} */
    const parameters = {};
    for (const [param, schema] of Object.entries(properties)) {
      const source = schema["x-source"]?.find((/** @type {string} */ path) => path in pick);
      if (source) parameters[param] = pick[source];
    }
    const isWhole = required.every((/** @type {string} */ param) => param in parameters);
    const isOfIt = Object.values(properties).some((schema) => schema["x-source"]?.includes(own));
    return isWhole && isOfIt && required.length > 0 ? [{ action_name: name, parameters, reasoning: REASON }] : [];
  });
}

/** @param {string} action */
export function runbookOf(action) {
  return { action_name: "read_runbook", parameters: { action_name: action }, reasoning: "What does it do, and is there a way back?" };
}

/**
 * A call as a button.
 * @param {Call} call
 * @param {(call: Call) => void} onCall
 * @param {string} [label]
 */
export function callButton(call, onCall, label = words(call.action_name)) {
  const named = JSON.stringify([call.action_name, ...Object.values(call.parameters)]);
  const about = Object.values(call.parameters).join(" ");
  return h("button", { type: "button", class: "chip look", "data-call": named, "aria-label": `${label} ${about}`, on: { click: () => onCall(call) } }, label);
}

/**
 * Whether a look was made already: then it need not be offered first.
 * @param {Call} call
 * @param {Call[]} turns
 */
export function wasMade(call, turns) {
  const text = JSON.stringify([call.action_name, call.parameters]);
  return turns.some(({ action_name, parameters }) => JSON.stringify([action_name, parameters]) === text);
}
