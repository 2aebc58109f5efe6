/**
 * What was asked of a person, what the answer was, and where an approval was used.
 *
 * Read from the steps alone, as an agent could: the server tells nothing more.
 */

import { values } from "./text.js";

const APPROVED = "Approved, for one use: ";

/** @typedef {{action_name: string, parameters: Record<string, any>, reasoning: string, result: string, reward: number | null, undo_chance?: number | null}} Turn */
/**
 * @typedef {object} Question
 * @property {number} step  When it was asked.
 * @property {string} about  The action and its target.
 * @property {string} reason
 * @property {string} answer
 * @property {"approved" | "denied" | "needless" | "malformed"} kind
 * @property {number | null} usedAt  The step that used the approval.
 */

/**
 * @param {Turn[]} turns
 * @param {string} askAction  Name of the task's way to ask.
 * @param {string} byDefault  The action that a question is about if it names none.
 * @returns {Question[]}
 */
export function questions(turns, askAction, byDefault) {
  return turns.flatMap((turn, index) => {
    if (turn.action_name !== askAction) return [];
    const { reason, action_being_considered: action = byDefault, ...target } = turn.parameters;
    const kind = kindOf(turn.result);
    const covers = turn.result.slice(APPROVED.length).replace(/\.$/, "");
    return {
      step: index + 1,
      about: kind === "approved" ? covers : `${action ?? ""} ${values(target)}`.trim(),
      reason: String(reason ?? ""),
      answer: turn.result,
      kind,
      usedAt: kind === "approved" ? useOf(action, target, turns, index + 1) : null,
    };
  });
}

/** @param {string} answer */
function kindOf(answer) {
  if (answer.startsWith(APPROVED)) return "approved";
  if (answer.startsWith("Denied")) return "denied";
  return answer.startsWith("Not carried out") ? "malformed" : "needless";
}

/**
 * The step that used an approval: the next one that carried out what it covers.
 * @param {string} action
 * @param {Record<string, any>} target  By parameter of the action, or its only one as `target`.
 * @param {Turn[]} turns
 * @param {number} from
 */
function useOf(action, target, turns, from) {
  const found = turns.findIndex(({ action_name, parameters, result }, index) => {
    const isCovered = Object.entries(target).every(([name, value]) =>
      name === "target" ? Object.values(parameters).includes(value) : parameters[name] === value,
    );
    return index >= from && action_name === action && isCovered && !/^(Not carried out|Refused|CRITICAL)/.test(result);
  });
  return found < 0 ? null : found + 1;
}
