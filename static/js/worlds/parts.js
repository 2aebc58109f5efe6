/**
 * Shared by the pictures: facts that are known or not, items that can be picked, bars.
 */

import { h, unseen } from "../dom.js";

/**
 * The input of a picture.
 * @typedef {object} Scene
 * @property {Record<string, any>} state  `current_state`.
 * @property {Record<string, any> | null} before  The state one step earlier, to mark what changed.
 * @property {import("../forms.js").Pick | null} picked
 * @property {((pick: import("../forms.js").Pick) => void) | null} onPick  `null` where nothing can be done.
 * @property {(pick: import("../forms.js").Pick) => import("../dom.js").Children} [looks]  Looks that are one click away.
 */

/** A text of more characters gets twice the room. */
const LONG = 13;

/** A value that nobody has looked up yet. */
export function unknown() {
  return h("span", { class: "unknown" }, h("span", { "aria-hidden": "true" }, "?"), unseen("not known yet"));
}

/**
 * @param {unknown} now
 * @param {unknown} then
 */
function differs(now, then) {
  return then !== undefined && JSON.stringify(now) !== JSON.stringify(then);
}

/**
 * The facts of a thing, each known or not.
 * @param {Record<string, any>} record
 * @param {Record<string, any> | undefined} before  The same record one step earlier.
 * @param {[field: string, label: string, say?: (value: any) => string][]} rows
 */
export function facts(record, before, rows) {
  const isKnown = (/** @type {string} */ field) => record[field] !== null && record[field] !== undefined;
  const gaps = rows.filter(([field]) => !isKnown(field));
  return h(
    "div",
    { class: "facts-place" },
    h(
      "dl",
      { class: "facts" },
      rows
        .filter(([field]) => isKnown(field))
        .map(([field, label, say = String]) => {
          const text = say(record[field]);
          const classes = ["fact", text.length > LONG && "fact-long", changed(record, before, field) && "is-new"];
          return h("div", { class: classes.filter(Boolean).join(" ") }, h("dt", {}, label), h("dd", {}, text));
        }),
    ),
    gaps.length > 0 && h("p", { class: "gaps" }, unseen("Not known yet: "), gaps.map(([, label]) => [h("span", { class: "gap" }, label), " "])),
  );
}

/**
 * A thing's name; a button where things can be picked.
 * @param {Scene} scene
 * @param {import("../forms.js").Pick} pick
 * @param {string} [label]
 */
export function thing(scene, pick, label) {
  const text = label ?? String(Object.values(pick).at(-1));
  const { onPick } = scene;
  const named = JSON.stringify(Object.values(pick));
  if (!onPick) return h("span", { class: "thing", "data-thing": named }, text);
  const isPicked = scene.picked !== null && JSON.stringify(scene.picked) === JSON.stringify(pick);
  return h(
    "span",
    { class: "thing-place" },
    h("button", { type: "button", class: "thing", "data-thing": named, "aria-pressed": isPicked ? "true" : "false", on: { click: () => onPick(pick) } }, text),
    scene.looks?.(pick),
  );
}

/**
 * A short state such as `present`.
 * @param {string} text
 * @param {"plain" | "gone" | "done" | "mark"} [kind]
 * @param {boolean} [isNew]
 */
export function tag(text, kind = "plain", isNew = false) {
  return h("span", { class: `tag tag-${kind}${isNew ? " is-new" : ""}` }, text);
}

/**
 * A bar of a share of something, for the eye only: the number stands beside it.
 * @param {number} share  From 0 to 1.
 */
export function bar(share) {
  return h("span", { class: "bar", "aria-hidden": "true", vars: { "--share": Math.max(0, Math.min(1, share)) } });
}

/**
 * Yes or no in words.
 * @param {string} yes
 * @param {string} no
 * @returns {(value: any) => string}
 */
export function either(yes, no) {
  return (value) => (value ? yes : no);
}

/**
 * A list in words.
 * @param {string} none  Said of an empty one.
 * @returns {(value: any) => string}
 */
export function list(none) {
  return (value) => (value.length ? value.join(", ") : none);
}

/**
 * Whether a field differs from one step earlier.
 * @param {Record<string, any>} record
 * @param {Record<string, any> | undefined} before
 * @param {string} field
 */
export function changed(record, before, field) {
  return before !== undefined && differs(record[field], before[field]);
}
