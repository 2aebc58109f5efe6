/**
 * The actions of a game: those about what is picked, or all, each with its runbook and its question beside it.
 *
 * Owns the list. What an action takes, and what a call does, are others' business.
 */

import { h } from "./dom.js";
import { askAction, isAbout, schemaOf } from "./forms.js";
import { callButton, isLook, runbookOf, wasMade } from "./looks.js";

/** @typedef {import("./api.js").Call} Call */

/**
 * @param {object} options
 * @param {import("./api.js").TaskCard} options.card
 * @param {import("./api.js").Observation} options.obs
 * @param {import("./forms.js").Pick | null} options.picked
 * @param {string} options.wanted  Only actions in whose name or description this occurs.
 * @param {Call[]} options.turns
 */
export function shownActions({ card, obs, picked, wanted }) {
  const ask = askAction(card);
  return obs.available_actions.filter(
    ({ name, description }) =>
      (picked === null || name === ask || isAbout(schemaOf(card, obs, name), picked)) && `${name} ${description}`.toLowerCase().includes(wanted.toLowerCase()),
  );
}

/**
 * @param {object} options
 * @param {import("./api.js").TaskCard} options.card
 * @param {{name: string, description: string}[]} options.actions
 * @param {string | null} options.chosen
 * @param {Call[]} options.turns
 * @param {import("./dom.js").Child} options.form  Of the chosen one.
 * @param {(name: string) => void} options.onChoose
 * @param {(name: string) => void} options.onAsk
 * @param {(call: Call) => void} options.onCall
 */
export function actionList({ card, actions, chosen, turns, form, onChoose, onAsk, onCall }) {
  const ask = askAction(card);
  return h(
    "ul",
    { class: "action-list" },
    actions.map(({ name, description }, index) => {
      const isChosen = chosen === name;
      const hasRunbook = name !== "read_runbook" && name !== ask && !isLook(card, name) && name !== "finish";
      const runbook = runbookOf(name);
      return h(
        "li",
        { class: isChosen ? "action is-chosen" : "action" },
        h(
          "button",
          { type: "button", class: "action-name", "data-action": name, "aria-expanded": isChosen ? "true" : "false", on: { click: () => onChoose(name) } },
          h("span", {}, h("code", {}, name), index < 9 && h("kbd", { "aria-hidden": "true" }, index + 1)),
          h("span", { class: "action-text" }, description),
        ),
        hasRunbook &&
          h(
            "p",
            { class: "action-beside" },
            callButton(runbook, onCall, wasMade(runbook, turns) ? "Runbook again" : "Runbook"),
            h("button", { type: "button", class: "chip", "data-ask": name, "aria-label": `Ask about ${name}`, on: { click: () => onAsk(name) } }, "Ask"),
          ),
        isChosen && form,
      );
    }),
  );
}
