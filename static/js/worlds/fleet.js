/** The fleet: instances in their security groups, as far as it is known which is whose. */

import { h } from "../dom.js";
import { values, words } from "../text.js";
import { either, facts, factTable, list, tag, thing, unknown } from "./parts.js";

const SIZES = ["small", "medium", "large", "xlarge", "2xlarge"];
const EVERYBODY = "0.0.0.0/0";

/** @param {string} size */
function scale(size) {
  const filled = SIZES.indexOf(size) + 1;
  return h(
    "span",
    { class: "size" },
    h("span", { class: "pips", "aria-hidden": "true" }, SIZES.map((_one, index) => h("span", { class: index < filled ? "pip is-on" : "pip" }))),
    ` ${size}`,
  );
}

/** @type {import("./parts.js").Column[]} */
const COLUMNS = [
  ["size", "size", scale],
  ["status", "state", (status) => tag(status, status === "running" ? "plain" : "gone")],
  ["age_days", "age, days", null, "number"],
  ["requests_per_minute", "requests a minute", null, "number"],
  ["utilisation_percent", "use, %", null, "number"],
  ["critical", "critical", (critical) => (critical ? tag("critical", "mark") : "no")],
  ["ephemeral_data", "ephemeral disk", either("holds data", "no data")],
  ["recycle_bin", "recycle bin"],
  ["snapshot", "snapshot", either("taken", "none")],
  ["own_rules", "own rules", list("none"), "line"],
  ["note", "note", null, "line"],
];

/**
 * @param {import("./parts.js").Scene} scene
 * @param {[string, Record<string, any>][]} instances
 */
function members(scene, instances) {
  return instances.map(([name, one]) => ({
    name: thing(scene, { instances: name }),
    record: one,
    then: scene.before?.instances?.[name],
    isGone: one.status !== "running",
  }));
}

/**
 * @param {import("./parts.js").Scene} scene
 * @param {string} name
 * @param {Record<string, any>} group
 */
function rules(scene, name, group) {
  const then = scene.before?.security_groups?.[name];
  return h(
    "ul",
    { class: "rules", "aria-label": `Rules of ${name}` },
    group.ports.map((/** @type {number} */ port) => {
      const source = group.rules?.[port];
      const isNew = then !== undefined && then.rules?.[port] !== source;
      return h(
        "li",
        { class: isNew ? "is-new" : null },
        h("span", {}, `port ${port} from `),
        source === undefined ? unknown() : h("code", {}, source),
        source === EVERYBODY && tag("open to everybody", "mark"),
      );
    }),
  );
}

/** @param {Record<string, any>} order */
function workOrder(order) {
  const said = Object.entries(order).map(([name, value]) => [name, value === null ? "none" : typeof value === "object" ? values(value) : value]);
  return facts(Object.fromEntries(said), undefined, said.map(([name]) => [name, words(name).toLowerCase()]));
}

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state } = scene;
  const instances = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.instances));
  const strays = instances.filter(([, one]) => one.security_group === null);
  const groups = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.security_groups));
  return [
    h("section", { class: "folder" }, h("h3", {}, "Work order"), workOrder(state.work_order)),
    factTable("Instance", COLUMNS, [
      ...(strays.length > 0 ? [{ head: "Security group not known yet", rows: members(scene, strays) }] : []),
      ...groups.map(([name, group]) => {
        const own = instances.filter(([, one]) => one.security_group === name);
        return {
          head: [thing(scene, { security_groups: name }), rules(scene, name, group), own.length === 0 && h("p", { class: "soft" }, "No instance is known to be in it.")],
          rows: members(scene, own),
        };
      }),
    ]),
  ];
}

/** @param {Record<string, any>} state */
export function checklist({ work_order: order, instances, security_groups: groups }) {
  const all = /** @type {Record<string, any>[]} */ (Object.values(instances));
  const nets = /** @type {Record<string, any>[]} */ (Object.values(groups));
  const known = all.filter((one) => one.age_days !== null);
  const read = nets.filter((group) => group.rules !== null);
  const looks = [
    { text: "Instances described", done: known.length, of: all.length, isWhole: true },
    { text: "Security groups described", done: read.length, of: nets.length, isWhole: true },
  ];
  // Until the work order is known, nothing is known of what is to be done.
  if (order.old_above_days === null) return looks;
  const isOld = (/** @type {Record<string, any>} */ one) => one.age_days > order.old_above_days && one.requests_per_minute === 0;
  const old = known.filter(isOld);
  const idle = known.filter((one) => !isOld(one) && one.utilisation_percent < order.utilisation_limit_percent && !one.ephemeral_data);
  const sources = read.map((group) => group.rules[order.admin_port]).filter((source) => source === EVERYBODY || source === order.admin_range);
  const units = (/** @type {string} */ size) => 2 ** SIZES.indexOf(size);
  const saved = known.reduce((sum, one) => sum + units(one.start_size) - (one.status === "running" ? units(one.size) : 0), 0);
  const { port_request: request, old_instances: toEnd, rules_to_tighten: toTighten } = order;
  const tightened = sources.filter((source) => source === order.admin_range).length;
  return [
    ...looks,
    { text: "Old, terminated", done: old.filter((one) => one.status !== "running").length, of: toEnd, isWhole: true },
    { text: "Oversized, one size down", done: idle.filter((one) => one.size !== one.start_size).length, of: order.oversized_instances, isWhole: true },
    { text: "Units of running cost saved", done: saved, of: order.units_to_save, isWhole: true },
    { text: `Port ${order.admin_port} tightened`, done: tightened, of: toTighten ?? sources.length, isWhole: toTighten !== undefined || read.length === nets.length },
    ...(request ? [{ text: `Port ${request.port} opened for monitoring`, done: Math.min(1, instances[request.instance].own_rules.length), of: 1, isWhole: true }] : []),
  ];
}
