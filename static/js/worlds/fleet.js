/** The fleet: instances in their security groups, as far as it is known which is whose. */

import { h } from "../dom.js";
import { values, words } from "../text.js";
import { changed, either, facts, list, tag, thing, unknown } from "./parts.js";

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

/**
 * @param {import("./parts.js").Scene} scene
 * @param {[string, Record<string, any>][]} instances
 */
function members(scene, instances) {
  return h(
    "ul",
    { class: "things" },
    instances.map(([name, one]) => {
      const then = scene.before?.instances?.[name];
      const isGone = one.status !== "running";
      return h(
        "li",
        { class: `card${isGone ? " card-gone" : ""}` },
        h(
          "div",
          { class: "card-head" },
          thing(scene, { instances: name }),
          one.size === null ? h("span", { class: "size" }, unknown()) : h("span", { class: changed(one, then, "size") ? "is-new" : null }, scale(one.size)),
          one.critical && tag("critical", "mark", changed(one, then, "critical")),
          tag(one.status, isGone ? "gone" : "plain", changed(one, then, "status")),
        ),
        facts(one, then, [
          ["age_days", "age", (value) => `${value} days`],
          ["requests_per_minute", "traffic", (value) => (value ? `${value} a minute` : "none")],
          ["critical", "critical", either("yes", "no")],
          ["utilisation_percent", "utilisation", (value) => `${value}%`],
          ["ephemeral_data", "ephemeral disk", either("holds data", "no data")],
          ["snapshot", "snapshot", either("taken", "none")],
          ["own_rules", "own rules", list("none")],
          ["recycle_bin", "recycle bin"],
          ["note", "note"],
        ]),
      );
    }),
  );
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
  return [
    h("section", { class: "folder" }, h("h3", {}, "Work order"), workOrder(state.work_order)),
    strays.length > 0 && h("section", { class: "folder folder-open" }, h("h3", {}, "Security group not known yet"), members(scene, strays)),
    Object.entries(state.security_groups).map(([name, group]) => {
      const own = instances.filter(([, one]) => one.security_group === name);
      return h(
        "section",
        { class: "folder folder-open" },
        h("h3", {}, thing(scene, { security_groups: name })),
        rules(scene, name, group),
        own.length ? members(scene, own) : h("p", { class: "soft" }, "No instance is known to be in it."),
      );
    }),
  ];
}
