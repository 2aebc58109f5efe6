/**
 * Shared by the pictures: facts that are known or not, tables of them, items that can be picked.
 */

import { h, unseen } from "../dom.js";

/** @typedef {import("../dom.js").Child} Child */
/** @typedef {import("../dom.js").Children} Children */

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
 * A column: the field, its label, how its value is said. Numbers stand right, text left; a long text gets a line.
 * @typedef {[field: string, label: string, say?: ((value: any) => Child) | null, kind?: "text" | "number" | "line"]} Column
 */
/**
 * A thing in a table. `then` is its record one step earlier.
 * @typedef {{name: Child, record: Record<string, any>, then: Record<string, any> | undefined, isGone: boolean, more?: Child}} Row
 */

/**
 * Things and their facts: a row each, in aligned columns, and a card each where there is no room for rows. Fields of
 * which nothing is known are named once, below; a gap in a column is drawn.
 * @param {string} title  What a row is.
 * @param {Column[]} columns
 * @param {{head?: Children, rows: Row[]}[]} groups
 */
export function factTable(title, columns, groups) {
  const rows = groups.flatMap((group) => group.rows);
  const isKnown = (/** @type {Record<string, any>} */ record, /** @type {string} */ field) => record[field] !== null && record[field] !== undefined;
  const known = columns.filter(([field]) => rows.some(({ record }) => isKnown(record, field)));
  const gaps = columns.filter((column) => !known.includes(column));
  const cells = known.filter(([, , , kind]) => kind !== "line");
  const lines = known.filter((column) => !cells.includes(column));
  const width = cells.length + 1;
  return h(
    "div",
    { class: cells.length > 6 ? "fact-table is-wide" : "fact-table" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, title), cells.map(([, label, , kind]) => h("th", { scope: "col", class: kind === "number" ? "is-number" : null }, label)))),
      groups.flatMap(({ head, rows: own }) => [
        head ? h("tbody", { class: "group" }, h("tr", {}, h("td", { colspan: width }, head))) : null,
        ...own.map(({ name, record, then, isGone, more }) => {
          const said = lines.filter(([field]) => isKnown(record, field) && record[field] !== "");
          return h(
            "tbody",
            { class: isGone ? "card card-gone" : "card" },
            h("tr", {}, h("th", { scope: "row" }, name), cells.map(drawCell)),
            (said.length > 0 || more) && h("tr", { class: "more" }, h("td", { colspan: width }, more, said.map(drawLine))),
          );

          /** @param {Column} column */
          function drawCell([field, label, say, kind]) {
            const classes = ["fact", kind === "number" && "is-number", !isKnown(record, field) && "is-gap", changed(record, then, field) && "is-new"];
            return h("td", { class: classes.filter(Boolean).join(" "), "data-label": label }, isKnown(record, field) ? (say ?? String)(record[field]) : unknown());
          }

          /** @param {Column} column */
          function drawLine([field, label, say]) {
            return h("p", { class: changed(record, then, field) ? "fact line is-new" : "fact line" }, h("span", { class: "soft" }, `${label}: `), (say ?? String)(record[field]));
          }
        }),
      ]),
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
  const text = breakable(label ?? String(Object.values(pick).at(-1)));
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
 * A name that is cut between its parts where it does not fit.
 * @param {string} name
 */
function breakable(name) {
  return name.split(/(?<=[_./-])/).flatMap((part, index) => (index ? [h("wbr", {}), part] : part));
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
