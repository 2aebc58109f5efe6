/** The ward: the patients, with the orders of each. */

import { h } from "../dom.js";
import { changed, either, facts, factTable, list, tag, thing } from "./parts.js";

/** @param {Record<string, number>} values */
function laboratory(values) {
  return Object.entries(values)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)
    .join(", ");
}

/** @type {import("./parts.js").Column[]} */
const COLUMNS = [
  ["ordered_dose_mg", "ordered, mg", null, "number"],
  ["right_dose_mg", "right dose, mg", null, "number"],
  ["interactions", "interactions"],
  ["status", "state", (status) => tag(status, status === "open" ? "plain" : "done")],
  ["why", "why", null, "line"],
];

/** @param {Record<string, any>} order */
function shown(order) {
  const { contraindicated } = order;
  return { ...order, interactions: contraindicated === null ? null : contraindicated ? "contraindicated" : "nothing against it", why: order.why ?? "" };
}

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state, before } = scene;
  const patients = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.patients));
  return factTable(
    "Order",
    COLUMNS,
    patients.map(([name, patient]) => {
      const then = before?.patients?.[name];
      const orders = /** @type {[string, Record<string, any>][]} */ (Object.entries(patient.orders));
      return {
        head: [
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
            ["weight_kg", "weight", (value) => `${value} kg`],
            ["bed", "bed"],
            ["adverse_event_logged", "adverse event", either("logged", "none logged")],
            ["allergies", "allergies", list("none known")],
            ["current_drugs", "current drugs", list("none")],
            ["findings", "findings"],
            ["lab_results", "laboratory", laboratory],
            ["note", "note"],
          ]),
        ],
        rows: orders.map(([drug, order]) => ({
          name: thing(scene, { patients: name, "patients.{patient}.orders": drug }),
          record: shown(order),
          then: then?.orders?.[drug] && shown(then.orders[drug]),
          isGone: order.status !== "open",
        })),
      };
    }),
  );
}

/** @param {Record<string, any>} state */
export function checklist({ shift, patients }) {
  const all = /** @type {Record<string, any>[]} */ (Object.values(patients));
  const orders = /** @type {Record<string, any>[]} */ (all.flatMap((patient) => Object.values(patient.orders)));
  const isRight = (/** @type {Record<string, any>} */ order) => order.status === "given" || (order.status === "held" && order.contraindicated === true);
  const wrong = orders.filter((order) => order.right_dose_mg !== null && order.status !== "given" && order.contraindicated !== true && order.right_dose_mg !== order.ordered_dose_mg);
  return [
    { text: "Charts reviewed", done: all.filter((patient) => patient.critical !== null).length, of: all.length, isWhole: true },
    { text: "Interactions checked", done: orders.filter((order) => order.contraindicated !== null).length, of: orders.length, isWhole: true },
    ...(wrong.length > 0 ? [{ text: "Known as wrong, amended", done: 0, of: wrong.length, isWhole: true }] : []),
    { text: "Given, or on hold because contraindicated", done: orders.filter(isRight).length, of: orders.length, isWhole: true },
    ...(shift?.discharge && shift.discharge !== "nobody"
      ? [{ text: "Discharged", done: all.filter((patient) => patient.status === "discharged").length, of: all.length, isWhole: true }]
      : []),
  ];
}
