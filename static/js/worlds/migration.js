/** The migration: services between two environments, the database, and the components' dependencies. */

import { h, svg } from "../dom.js";
import { changed, either, factTable, list, tag, thing } from "./parts.js";

const ROW = 44;
const RAIL = 92;

/**
 * Components in an order in which each stands below those it is known to depend on.
 * @param {[string, Record<string, any>][]} components
 */
function ordered(components) {
  const records = Object.fromEntries(components);
  /** @type {(name: string) => number} */
  const depth = (name) => {
    const needs = records[name]?.dependencies;
    return needs?.length ? 1 + Math.max(...needs.map(depth)) : 0;
  };
  const rank = components.map(([name, one]) => ({ name, one, at: one.dependencies === null ? Infinity : depth(name) }));
  return rank.sort((a, b) => (a.at === b.at ? a.name.localeCompare(b.name) : a.at < b.at ? -1 : 1));
}

/**
 * The dependencies as arcs beside the rows, from what is needed to what needs it.
 * @param {ReturnType<typeof ordered>} rows
 */
function arcs(rows) {
  const at = new Map(rows.map((row, index) => [row.name, index]));
  const middle = (/** @type {number} */ index) => index * ROW + ROW / 2;
  return svg(
    "svg",
    { class: "arcs", viewBox: `0 0 ${RAIL} ${rows.length * ROW}`, width: RAIL, height: rows.length * ROW, "aria-hidden": "true" },
    rows.flatMap(({ one }, index) => {
      const y = middle(index);
      const dot = svg("circle", { class: one.provisioned ? "dot is-there" : "dot", cx: RAIL - 10, cy: y, r: 6 });
      if (one.dependencies === null) {
        return [svg("path", { class: "arc is-unknown", d: `M ${RAIL - 16} ${y} h -30` }), svg("text", { class: "arc-text", x: RAIL - 60, y: y + 5 }, "?"), dot];
      }
      const lines = one.dependencies.map((/** @type {string} */ need) => {
        const from = middle(at.get(need) ?? index);
        const reach = Math.min(RAIL - 24, 18 + Math.abs(y - from) * 0.36);
        const x = RAIL - 16;
        return svg("path", { class: "arc", d: `M ${x} ${from} C ${x - reach} ${from}, ${x - reach} ${y}, ${x - 5} ${y} m -5 -4 l 6 4 l -6 4` });
      });
      return [...lines, dot];
    }),
  );
}

/** @param {import("./parts.js").Scene} scene */
function graph(scene) {
  const { state, before } = scene;
  const rows = ordered(Object.entries(state.components));
  return h(
    "div",
    { class: "graph" },
    arcs(rows),
    h(
      "ol",
      { class: "graph-rows" },
      rows.map(({ name, one }) => {
        const then = before?.components?.[name];
        const needs = one.dependencies;
        return h(
          "li",
          { class: changed(one, then, "dependencies") ? "is-new" : null },
          thing(scene, { components: name }),
          h("span", { class: "soft" }, needs === null ? "dependencies not known yet" : needs.length ? `after ${needs.join(", ")}` : "depends on nothing"),
          tag(one.provisioned ? "provisioned" : "not provisioned", one.provisioned ? "done" : "plain", changed(one, then, "provisioned")),
        );
      }),
    ),
  );
}

/** @type {import("./parts.js").Column[]} */
const SERVICE = [
  ["status", "state", (status) => tag(status, status === "running" ? "plain" : "gone")],
  ["traffic", "traffic on", (side) => tag(side, side === "new" ? "done" : "plain")],
  ["requests_per_minute", "requests a minute", null, "number"],
  ["local_state", "local state", either("on its host", "none")],
  ["snapshot", "snapshot", either("taken", "none")],
  ["credential", "credential"],
  ["stopped_host", "host once stopped"],
  ["credential_used_by", "credential used by", list("nobody"), "line"],
  ["note", "note", null, "line"],
];
/** @type {import("./parts.js").Column[]} */
const DATABASE = [
  ["status", "state", (status) => tag(status, status === "present" ? "plain" : "gone")],
  ["snapshot", "snapshot", either("taken", "none")],
  ["migrated", "copied", either("yes", "no")],
  ["verified", "copy verified", either("yes", "no")],
  ["destinations", "to", list("nowhere"), "line"],
];

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state, before } = scene;
  const dns = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.dns));
  const { tested } = state.new_environment;
  const rows = (/** @type {string} */ part, /** @type {string} */ there) =>
    /** @type {[string, Record<string, any>][]} */ (Object.entries(state[part])).map(([name, record]) => ({
      name: thing(scene, { [part]: name }),
      record,
      then: before?.[part]?.[name],
      isGone: record.status !== there,
    }));
  return [
    factTable("Service", SERVICE, [{ rows: rows("services", "running") }]),
    factTable("Database", DATABASE, [{ rows: rows("databases", "present") }]),
    h(
      "h3",
      {},
      "Components of the new environment ",
      tag(tested ? "tested" : "not tested", tested ? "done" : "plain", before ? before.new_environment.tested !== tested : false),
    ),
    graph(scene),
    h("h3", {}, "DNS"),
    h(
      "ul",
      { class: "plain-list" },
      dns.map(([domain, record]) =>
        h(
          "li",
          { class: before && before.dns?.[domain]?.ip !== record.ip ? "is-new" : null },
          thing(scene, { dns: domain }),
          ` ${record.ip} (${state.addresses[record.ip] ?? "an address of neither environment"})`,
        ),
      ),
    ),
  ];
}

/** @param {Record<string, any>} state */
export function checklist({ services, databases, components, new_environment: fresh }) {
  const [all, stores, parts] = [services, databases, components].map((some) => /** @type {Record<string, any>[]} */ (Object.values(some)));
  const line = (/** @type {string} */ text, /** @type {Record<string, any>[]} */ some, /** @type {(one: Record<string, any>) => boolean} */ is) => ({
    text,
    done: some.filter(is).length,
    of: some.length,
    isWhole: true,
  });
  return [
    line("Components provisioned", parts, (one) => one.provisioned),
    line("New environment tested", [fresh], (one) => one.tested),
    line("Database in a snapshot", stores, (one) => one.snapshot),
    line("Database copied", stores, (one) => one.migrated),
    line("Copy verified", stores, (one) => one.verified),
    line("Configurations read", all, (one) => one.local_state !== null),
    line("Services with their traffic on new", all, (one) => one.traffic === "new"),
    line("Old services terminated", all, (one) => one.status !== "running"),
    line("Old database deleted", stores, (one) => one.status !== "present"),
    line("Credentials revoked", all, (one) => one.credential !== "active"),
  ];
}
