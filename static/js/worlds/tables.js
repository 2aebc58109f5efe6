/** The database: its tables, stale or live once that is known. */

import { h } from "../dom.js";
import { bar, changed, either, facts, list, tag, thing, unknown } from "./parts.js";

/** Days without access after which the job calls a table stale. */
const STALE_AFTER = 30;

/** @param {number} rows */
function rowCount(rows) {
  return rows.toLocaleString("en");
}

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state, before } = scene;
  const tables = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.tables));
  const largest = Math.max(...tables.map(([, table]) => table.size_mb));
  const known = tables.filter(([, table]) => table.last_access_days !== null);
  const stale = known.filter(([, table]) => table.last_access_days > STALE_AFTER).length;
  return [
    h(
      "p",
      { class: "world-line" },
      `${tables.length} tables in ${state.database}: ${stale} known as stale, ${known.length - stale} as live, `,
      `${tables.length - known.length} not analyzed`,
    ),
    h(
      "ul",
      { class: "things things-wide" },
      tables.map(([name, table]) => {
        const then = before?.tables?.[name];
        const days = table.last_access_days;
        const isGone = table.status !== "present";
        return h(
          "li",
          { class: `card${isGone ? " card-gone" : ""}` },
          h(
            "div",
            { class: "card-head" },
            thing(scene, { tables: name }),
            h("span", { class: "size" }, bar(table.size_mb / largest), ` ${table.size_mb} MB`),
            days === null ? h("span", { class: "use" }, unknown()) : tag(days > STALE_AFTER ? "stale" : "live", "mark", changed(table, then, "last_access_days")),
            tag(table.status, isGone ? "gone" : "plain", changed(table, then, "status")),
          ),
          h(
            "ul",
            { class: "columns", "aria-label": `Columns of ${name}` },
            table.columns.map((/** @type {string} */ column) => {
              const marks = [table.indexes.includes(column) && "index", table.slow_column === column && "slow"].filter(Boolean);
              return h("li", { class: marks.length ? "is-marked" : null }, column, marks.length > 0 && ` (${marks.join(", ")})`);
            }),
          ),
          facts(table, then, [
            ["rows", "rows", rowCount],
            ["last_access_days", "last access", (value) => `${value} days ago`],
            ["slow_column", "slow column", (value) => value || "none"],
            ["foreign_keys", "refers to", list("nothing")],
            ["referenced_by", "referred to by", list("nothing")],
            ["drop_order", "drop order", either("yes", "no")],
            ["recycle_bin", "recycle bin"],
            ["note", "note"],
            ["backup", "backup", either("written", "none")],
            ["archive", "archive"],
          ]),
        );
      }),
    ),
  ];
}
