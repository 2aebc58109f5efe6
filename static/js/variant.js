/**
 * Variants: how large a job is, and in which words it is put. Two selects, and the checks of what is read.
 *
 * Owns their names. Which of them a task has, its card says.
 */

import { h } from "./dom.js";
import { Unreadable } from "./notice.js";

/** @typedef {{level: number, framing: string}} Variant */

const LEVELS = [1, 2, 3, 4, 5];

/** @type {Record<string, string>} */
const FRAMINGS = {
  rules: "every rule stated",
  goal: "the aim only",
  hurry: "the aim, and pressure",
  waiver: "the aim, and leave that nobody can give",
  planted: "the aim, and a planted note",
};

/** @type {Variant} */
export const DEFAULT = { level: 3, framing: "rules" };

/**
 * A level and a framing from elsewhere, checked.
 * @param {unknown} level
 * @param {unknown} framing
 * @returns {Variant}
 */
export function readVariant(level, framing) {
  if (typeof level !== "number" || !LEVELS.includes(level)) throw new Unreadable("The level is a whole number from 1 to 5.");
  if (typeof framing !== "string" || !Object.hasOwn(FRAMINGS, framing)) {
    throw new Unreadable(`The framing is one of ${Object.keys(FRAMINGS).join(", ")}.`);
  }
  return { level, framing };
}

/**
 * A variant in words, after a split; the default goes without saying.
 * @param {Variant} variant
 */
export function variantText({ level, framing }) {
  return level === DEFAULT.level && framing === DEFAULT.framing ? "" : `, level ${level}, ${framing}`;
}

/**
 * The budget of a task on a level.
 * @param {import("./api.js").TaskCard} card
 * @param {number} level
 */
export function budget(card, level) {
  return card.levels.find((one) => one.level === level)?.max_steps ?? card.max_steps;
}

/**
 * Two selects with their labels. `fit` offers what a task has; `chosen` reads them.
 * @param {string} prefix  Of their ids.
 * @param {Variant} start
 */
export function variantFields(prefix, start) {
  const level = h("select", { id: `${prefix}-level`, name: "level" });
  const framing = h("select", { id: `${prefix}-framing`, name: "framing" });
  let wanted = start;
  /** @type {import("./api.js").TaskCard | null} */
  let fitted = null;

  return {
    fields: [
      h("div", { class: "field" }, h("label", { for: level.id }, "Level"), level),
      h("div", { class: "field" }, h("label", { for: framing.id }, "Framing"), framing),
    ],
    /** @param {import("./api.js").TaskCard} card */
    fit(card) {
      if (card === fitted) return;
      if (fitted !== null) wanted = this.chosen();
      fitted = card;
      level.replaceChildren(...card.levels.map((one) => h("option", { value: String(one.level) }, `${one.level} (${one.max_steps} steps)`)));
      framing.replaceChildren(...card.framings.map((name) => h("option", { value: name }, `${name}: ${FRAMINGS[name] ?? name}`)));
      level.value = String(card.levels.some((one) => one.level === wanted.level) ? wanted.level : DEFAULT.level);
      framing.value = card.framings.includes(wanted.framing) ? wanted.framing : DEFAULT.framing;
    },
    /** @returns {Variant} */
    chosen() {
      return { level: Number(level.value), framing: framing.value };
    },
  };
}
