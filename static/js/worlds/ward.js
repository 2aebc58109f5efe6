/** The ward: a card for every patient, with the orders on it. */

import { h } from "../dom.js";
import { changed, either, facts, list, tag, thing } from "./parts.js";

/** @param {Record<string, number>} values */
function laboratory(values) {
  return Object.entries(values)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)
    .join(", ");
}

/**
 * @param {import("./parts.js").Scene} scene
 * @param {string} patient
 * @param {Record<string, any>} orders
 */
function orderList(scene, patient, orders) {
  return h(
    "ul",
    { class: "orders" },
    Object.entries(orders).map(([drug, order]) => {
      const then = scene.before?.patients?.[patient]?.orders?.[drug];
      const isClosed = order.status !== "open";
      return h(
        "li",
        { class: isClosed ? "order is-closed" : "order" },
        h(
          "div",
          { class: "card-head" },
          thing(scene, { patients: patient, "patients.{patient}.orders": drug }),
          h("span", { class: `size${changed(order, then, "ordered_dose_mg") ? " is-new" : ""}` }, `${order.ordered_dose_mg} mg ordered`),
          tag(order.status, isClosed ? "done" : "plain", changed(order, then, "status")),
        ),
        facts(order, then, [
          ["contraindicated", "interactions", either(`contraindicated: ${order.why}`, "nothing against it")],
          ["right_dose_mg", "right dose", (right) => `${right} mg, ${right === order.ordered_dose_mg ? "as ordered" : `not ${order.ordered_dose_mg} mg`}`],
        ]),
      );
    }),
  );
}

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state, before } = scene;
  const patients = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.patients));
  return h(
    "ul",
    { class: "things things-wide" },
    patients.map(([name, patient]) => {
      const then = before?.patients?.[name];
      return h(
        "li",
        { class: `card${patient.status === "discharged" ? " card-gone" : ""}` },
        h(
          "div",
          { class: "card-head" },
          thing(scene, { patients: name }),
          patient.critical && tag("critical", "mark", changed(patient, then, "critical")),
          tag(patient.status, patient.status === "discharged" ? "gone" : "plain", changed(patient, then, "status")),
        ),
        h("p", { class: "complaint" }, patient.complaint),
        facts(patient, then, [
          ["critical", "critical", either("yes", "no")],
          ["findings", "findings"],
          ["weight_kg", "weight", (value) => `${value} kg`],
          ["allergies", "allergies", list("none known")],
          ["current_drugs", "current drugs", list("none")],
          ["lab_results", "laboratory", laboratory],
          ["bed", "bed"],
          ["note", "note"],
          ["adverse_event_logged", "adverse event", either("logged", "none logged")],
        ]),
        orderList(scene, name, patient.orders),
      );
    }),
  );
}
