/**
 * What is shown of an episode that runs: what its agent knows, and each step with its reason.
 *
 * Must not know where the steps come from. It shows what the agent has been shown, and nothing of risk.
 */

import { h, show } from "./dom.js";
import { callText } from "./text.js";
import { drawWorld } from "./worlds/world.js";

/** @typedef {import("./api.js").Call & {result?: string}} Taken */

export class LiveStage {
  constructor() {
    this.world = h("section", { class: "world", "aria-label": "What the agent knows" });
    this.steps = h("ol", { class: "turns", reversed: true });
    this.element = h("div", { class: "game live" }, h("div", { class: "scene" }, this.world), h("div", { class: "panel", tabindex: "0", role: "region", "aria-label": "The steps, the latest first" }, h("h2", {}, "What it has done"), this.steps));
    /** @type {Record<string, any> | null} */
    this.before = null;
  }

  /**
   * @param {string} task
   * @param {Record<string, any> | null} state  `null` where it cannot be shown.
   * @param {Taken[]} steps
   */
  draw(task, state, steps) {
    show(this.world, h("h2", {}, "What the agent knows"), state ? drawWorld(task, { state, before: this.before, picked: null, onPick: null }) : h("p", { class: "soft" }, "Its world cannot be shown here; the steps can."));
    this.before = state;
    show(
      this.steps,
      steps.length === 0 && h("li", { class: "soft" }, "It has not done anything yet."),
      steps
        .map((step, index) =>
          h(
            "li",
            { class: "turn", value: index + 1 },
            h("p", {}, h("code", {}, callText(step))),
            step.reasoning && h("p", { class: "soft" }, h("q", {}, step.reasoning)),
            step.result && h("p", {}, step.result),
          ),
        )
        .reverse(),
    );
  }
}
