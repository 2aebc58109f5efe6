/** What a step turned out to be, told after the end only: by a shape and in words, not by colour. */

import { h } from "./dom.js";

/** @type {Record<string, [mark: string, text: string]>} */
const RISKS = {
  safe: ["○", "safe"],
  risky: ["◐", "can be taken back"],
  irreversible: ["●", "irreversible"],
  escalate: ["?", "a question"],
  unknown: ["–", "no such action"],
};

/** @param {string} risk */
export function riskMark(risk) {
  const [mark, text] = RISKS[risk] ?? ["–", risk];
  return h("span", { class: `risk risk-${risk}` }, h("span", { "aria-hidden": "true" }, `${mark} `), text);
}
