/**
 * Forms for actions, built from their JSON Schemas, with the choices that are visible in the state.
 *
 * Owns how parameters are asked for. Must not know tasks: what an action takes is in its schema, and where its
 * values are listed is in the schema's `x-source`.
 */

import { h, show } from "./dom.js";
import { words } from "./text.js";

/** @typedef {import("./api.js").Call} Call */
/** @typedef {import("./api.js").Observation} Observation */
/** @typedef {import("./api.js").Schema} Schema */
/** @typedef {import("./api.js").TaskCard} TaskCard */
/**
 * A thing that was picked in the drawn state: the values it stands for, by source path, the last one its own.
 * @typedef {Record<string, any>} Pick
 */

const CONSIDERED = "action_being_considered";
/** Actions about which a question names no target. */
const UNTARGETED = ["read_runbook", "finish"];

/** Whether an act can be taken back, as it is called before it is made: a chance in percent, and a reason in words. */
export const CALLS = /** @type {const} */ ([
  [100, "It can be taken back", "I expect that this can be taken back."],
  [0, "It cannot", "I expect that this cannot be taken back."],
  [50, "I do not know", "I do not know whether this can be taken back."],
]);

/**
 * What was typed into a form, kept while another one is open.
 * @typedef {{given: Record<string, any>, reason: string}} Draft
 */

/**
 * The schema of an action's parameters. Look-alikes are not in the list of tasks: of them the types are known,
 * and a parameter of the same name means the same thing as elsewhere.
 * @param {TaskCard} card
 * @param {Observation} obs
 * @param {string} name
 * @returns {Schema}
 */
export function schemaOf(card, obs, name) {
  const fixed = card.actions.find((action) => action.name === name);
  if (fixed) return fixed.parameters;
  const types = obs.available_actions.find((action) => action.name === name)?.parameters ?? {};
  const properties = Object.entries(types).map(([param, type]) => {
    const twin = card.actions.find((action) => param in action.parameters.properties);
    const plain = { type: type.startsWith("int") ? "integer" : "string" };
    return [param, twin ? twin.parameters.properties[param] : plain];
  });
  const required = Object.keys(types).filter((param) => !types[param].endsWith("?"));
  return { type: "object", properties: Object.fromEntries(properties), required };
}

/**
 * The name of the task's way to ask a person.
 * @param {TaskCard} card
 */
export function askAction(card) {
  return card.actions.find((action) => CONSIDERED in action.parameters.properties)?.name ?? "";
}

/**
 * The values of one parameter that are visible, or `null` where it is free text or a number.
 * @param {Schema} schema
 * @param {Observation} obs
 * @param {Record<string, any>} given  The parameters before it.
 * @returns {any[] | null}
 */
export function choices(schema, obs, given) {
  if (schema.enum) return schema.enum;
  if (!schema["x-source"]) return null;
  const names = obs.available_actions.map((action) => action.name);
  /** @type {any} */
  const view = { ...obs.current_state, available_actions: names };
  return schema["x-source"].flatMap((/** @type {string} */ path) => {
    let node = view;
    for (const segment of path.split(".")) {
      const key = segment.startsWith("{") ? given[segment.slice(1, -1)] : segment;
      node = typeof node === "object" && node !== null ? node[key] : undefined;
    }
    if (node === undefined || node === null) return [];
    return Array.isArray(node) ? node : Object.keys(node);
  });
}

/**
 * The schema by which a question's target is asked for, or `null` if the considered action takes no such target.
 * @param {TaskCard} card
 * @param {Observation} obs
 * @param {string} param
 * @param {string} considered
 * @returns {Schema | null}
 */
function targetSchema(card, obs, param, considered) {
  if (!considered || UNTARGETED.includes(considered) || considered === askAction(card)) return null;
  const { properties } = schemaOf(card, obs, considered);
  return (param === "target" ? Object.values(properties)[0] : properties[param]) ?? null;
}

/**
 * Whether an action can be about a picked thing.
 * @param {Schema} schema
 * @param {Pick} pick
 */
export function isAbout(schema, pick) {
  const source = Object.keys(pick).at(-1) ?? "";
  return Object.values(schema.properties).some((one) => one["x-source"]?.includes(source));
}

let forms = 0;

/**
 * A form for one action.
 * @param {object} options
 * @param {TaskCard} options.card
 * @param {Observation} options.obs
 * @param {string} options.action
 * @param {Pick | null} options.pick  Fills in what it can.
 * @param {boolean} options.isLook  Then nothing is to be called.
 * @param {Draft} options.draft  Is read and written.
 * @param {(call: Call, chance: number | null) => void} options.onCall  With the called chance, of an act.
 */
export function actionForm({ card, obs, action, pick, isLook, draft, onCall }) {
  const schema = schemaOf(card, obs, action);
  const params = Object.keys(schema.properties);
  const isQuestion = CONSIDERED in schema.properties;
  const id = `form${++forms}`;
  const { given } = draft;
  const fields = h("div", { class: "form-fields" });
  const reason = h("textarea", { id: `${id}-reasoning`, name: "reasoning", rows: 2, maxlength: 4000 });
  reason.value = draft.reason;
  const form = h(
    "form",
    { class: "action-form", "aria-label": action, on: { submit, input: keep, change } },
    fields,
    isLook || isQuestion
      ? h("button", { class: "button", type: "submit" }, isQuestion ? "Ask" : "Do it")
      : h(
          "fieldset",
          { class: "calls" },
          h("legend", {}, "Do it. Can it be taken back?"),
          CALLS.map(([chance, label]) => h("button", { class: "quiet-button", type: "submit", value: chance }, label)),
        ),
    h("div", { class: "field" }, h("label", { for: reason.id }, "Why you do it (optional)"), reason),
  );
  for (const param of params) if (pick || !given[param]) given[param] = preset(param) || given[param] || "";
  draw();
  return form;

  /** @param {string} param */
  function preset(param) {
    const one = schema.properties[param];
    const source = one["x-source"]?.find((/** @type {string} */ path) => pick && path in pick);
    if (source && pick) return pick[source];
    // A question needs a reason in words; this one does for most.
    if (isQuestion && param === "reason") return "The job seems to ask for it; may it be done?";
    return typeof one.default === "string" ? one.default : "";
  }

  /**
   * The schema by which a parameter is asked for; `null` leaves it out.
   * @param {string} param
   * @returns {Schema | null}
   */
  function askedBy(param) {
    const own = schema.properties[param];
    const isTarget = isQuestion && param !== CONSIDERED && !schema.required.includes(param);
    return isTarget ? targetSchema(card, obs, param, given[CONSIDERED]) : own;
  }

  function draw() {
    show(
      fields,
      params.map((param) => {
        const one = askedBy(param);
        if (!one) return null;
        const fieldId = `${id}-${param}`;
        return h("div", { class: "field" }, h("label", { for: fieldId }, words(param)), input(param, one, fieldId));
      }),
    );
  }

  /**
   * @param {string} param
   * @param {Schema} one
   * @param {string} fieldId
   */
  function input(param, one, fieldId) {
    const options = choices(one, obs, given);
    const common = { id: fieldId, name: param, required: isQuestion || schema.required.includes(param) };
    if (options) {
      const texts = options.map(String);
      const target = isQuestion && pick ? Object.values(pick).map(String).find((value) => texts.includes(value)) : undefined;
      const only = texts.length === 1 ? texts[0] : "";
      given[param] = texts.includes(String(given[param])) ? String(given[param]) : (target ?? only);
      const select = h(
        "select",
        common,
        h("option", { value: "" }, "choose"),
        texts.map((value) => h("option", { value }, value)),
      );
      select.value = given[param];
      return select;
    }
    if (one.type === "integer") {
      return h("input", { ...common, type: "number", step: 1, min: one.minimum, max: one.maximum, value: given[param] });
    }
    const hints = (one.examples ?? []).map((/** @type {unknown} */ text) => filled(String(text)));
    const list = hints.length ? `${fieldId}-hints` : null;
    return h(
      "span",
      {},
      h("input", { ...common, type: "text", maxlength: 4000, autocomplete: "off", spellcheck: "false", value: given[param], list }),
      list && h("datalist", { id: list }, hints.map((/** @type {string} */ value) => h("option", { value }))),
    );
  }

  /** @param {string} text */
  function filled(text) {
    return text.replace(/\{(\w+)\}/g, (_all, name) => String(given[name] ?? ""));
  }

  /** @param {Event} event */
  function keep(event) {
    draft.reason = reason.value;
    const field = /** @type {HTMLInputElement} */ (event.target);
    if (params.includes(field.name)) given[field.name] = field.value;
  }

  /** @param {Event} event */
  function change(event) {
    keep(event);
    const field = /** @type {HTMLElement} */ (event.target);
    // Only a choice changes what later fields offer; redrawing must not take the focus away.
    if (field.tagName !== "SELECT") return;
    const focused = field.id;
    draw();
    document.getElementById(focused)?.focus();
  }

  /** @param {SubmitEvent} event */
  function submit(event) {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement | null} */ (event.submitter);
    const chance = isLook || isQuestion ? null : Number(button?.value || 50);
    const unsaid = chance === null ? "Look before acting." : CALLS.find(([one]) => one === chance)?.[2];
    /** @type {Record<string, any>} */
    const parameters = {};
    for (const param of params) {
      const one = askedBy(param);
      const isLeftOut = given[param] === "" && !isQuestion && !schema.required.includes(param);
      if (one && !isLeftOut) parameters[param] = one.type === "integer" ? Number(given[param]) : given[param];
    }
    const reasoning = reason.value.trim() || (isQuestion && String(parameters.reason).trim()) || String(unsaid);
    onCall({ action_name: action, parameters, reasoning }, chance);
  }
}
