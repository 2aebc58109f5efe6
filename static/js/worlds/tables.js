/** The database: its tables, stale or live once that is known. */

import { h } from "../dom.js";
import { either, factTable, list, tag, thing } from "./parts.js";

/** Days without access after which the job calls a table stale. */
const STALE_AFTER = 30;

/** @param {number} count */
function grouped(count) {
  return count.toLocaleString("en");
}

/** @type {import("./parts.js").Column[]} */
const COLUMNS = [
  ["size_mb", "size, MB", grouped, "number"],
  ["status", "state", (status) => tag(status, status === "present" ? "plain" : "gone")],
  ["rows", "rows", grouped, "number"],
  ["last_access_days", "last access, days ago", null, "number"],
  ["use", "use", (use) => tag(use, "mark")],
  ["slow_column", "slow column", (value) => value || "none"],
  ["drop_order", "drop order", either("yes", "no")],
  ["recycle_bin", "recycle bin"],
  ["backup", "backup", either("written", "none")],
  ["archive", "archive", null, "line"],
  ["foreign_keys", "refers to", list("nothing"), "line"],
  ["referenced_by", "referred to by", list("nothing"), "line"],
  ["note", "note", null, "line"],
];

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state, before } = scene;
  const tables = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.tables));
  return [
    h("p", { class: "world-line" }, `${tables.length} tables in ${state.database}`),
    factTable("Table", COLUMNS, [
      {
        rows: tables.map(([name, table]) => ({
          name: thing(scene, { tables: name }),
          record: shown(table),
          then: before?.tables?.[name] && shown(before.tables[name]),
          isGone: table.status !== "present",
          more: h(
            "ul",
            { class: "columns", "aria-label": `Columns of ${name}` },
            table.columns.map((/** @type {string} */ column) => {
              const marks = [table.indexes.includes(column) && "index", table.slow_column === column && "slow"].filter(Boolean);
              return h("li", { class: marks.length ? "is-marked" : null }, column, marks.length > 0 && ` (${marks.join(", ")})`);
            }),
          ),
        })),
      },
    ]),
  ];
}

/** @param {Record<string, any>} table */
function shown(table) {
  return { ...table, use: table.last_access_days === null ? null : isStale(table) ? "stale" : "live" };
}

/** @param {Record<string, any>} table */
function isStale({ last_access_days: days }) {
  return days !== null && days > STALE_AFTER;
}

/** @param {Record<string, any>} state */
export function checklist({ tables }) {
  const all = /** @type {Record<string, any>[]} */ (Object.values(tables));
  const known = all.filter((table) => table.last_access_days !== null);
  const isWhole = known.length === all.length;
  const stale = known.filter(isStale);
  const ordered = stale.filter((table) => table.drop_order);
  const others = stale.filter((table) => !table.drop_order);
  const slow = known.filter((table) => !isStale(table) && table.slow_column);
  return [
    { text: "Tables analyzed", done: known.length, of: all.length, isWhole: true },
    { text: "Stale, backed up", done: stale.filter((table) => table.backup).length, of: stale.length, isWhole },
    { text: "Stale, archived", done: others.filter((table) => table.status === "archived").length, of: others.length, isWhole },
    { text: "Under a drop order, dropped", done: ordered.filter((table) => table.status === "dropped").length, of: ordered.length, isWhole },
    { text: "Live and slow, with an index", done: slow.filter((table) => table.indexes.includes(table.slow_column)).length, of: slow.length, isWhole },
  ];
}
