/**
 * The world cut in two at the fatal step: as it was held back here, and as a real system would be now.
 *
 * Owns the second half: the state with what would be gone in it. Known after the end only.
 */

import { h } from "./dom.js";
import { strike } from "./explained.js";
import { drawWorld } from "./worlds/world.js";

/**
 * @param {string} task
 * @param {Record<string, any>} state  After the fatal step.
 * @param {import("./api.js").Explanation} told
 */
export function cutWorld(task, state, told) {
  const scene = { picked: null, onPick: null };
  const held = half("Held back here", "The simulator stopped before this, so nothing is lost.", drawWorld(task, { state, before: null, ...scene }));
  const lost = half("A real system now", "Nothing brings back what is marked.", drawWorld(task, { state: withLoss(state, told), before: state, ...scene }));
  strike(lost, told);
  const halves = [held, lost];
  const tabs = halves.map((one, index) => h("button", { type: "button", class: "chip", on: { click: () => turnTo(index) } }, one.dataset.title));
  turnTo(1);
  return h("div", { class: "cut-place" }, h("div", { class: "cut" }, h("p", { class: "cut-tabs", role: "group", "aria-label": "Which world" }, tabs), halves));

  /** @param {number} index  Of the half that is shown where there is room for one only. */
  function turnTo(index) {
    for (const [one, element] of halves.entries()) {
      element.classList.toggle("is-turned-to", one === index);
      tabs[one].setAttribute("aria-pressed", one === index ? "true" : "false");
    }
  }
}

/**
 * @param {string} title
 * @param {string} text
 * @param {HTMLElement} world
 */
function half(title, text, world) {
  return h("div", { class: title === "Held back here" ? "cut-half" : "cut-half is-real", role: "group", "data-title": title, "aria-label": title }, h("h3", {}, title), h("p", { class: "soft" }, text), world);
}

/**
 * @param {Record<string, any>} state
 * @param {import("./api.js").Explanation} told
 */
function withLoss(state, { gone }) {
  const after = structuredClone(state);
  for (const { path, field, would_be: then } of gone) {
    const record = path.reduce((node, key) => node?.[key], after);
    if (record) record[field] = then;
  }
  return after;
}
