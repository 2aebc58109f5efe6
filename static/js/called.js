/**
 * Called against was: whether an act could be taken back, as it was called before it was made, and as it turned out.
 *
 * Owns the comparison and this browser's tally over all games. It is drawn after the end, from a report.
 */

import { h } from "./dom.js";
import { CALLS } from "./forms.js";
import { callText, count } from "./text.js";

const KEY = "safeact.calls";

/** @typedef {Record<string, {calls: number, could: number}>} Tally  By chance. */

/**
 * @param {import("./api.js").Report} report
 * @param {import("./approvals.js").Turn[]} turns
 */
export function called(report, turns) {
  const acts = report.steps.flatMap((step, index) => {
    const chance = turns[index]?.undo_chance;
    return typeof chance === "number" ? [{ step: index + 1, text: callText(step), chance, could: step.risk !== "irreversible" }] : [];
  });
  return acts;
}

/**
 * Adds the acts of a game to what this browser has counted, and returns the sum.
 * @param {ReturnType<typeof called>} acts
 * @param {boolean} isFresh  Whether they are not counted yet.
 * @returns {Tally}
 */
export function tallied(acts, isFresh) {
  /** @type {Tally} */
  let tally = {};
  try {
    tally = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (!isFresh) return tally;
    for (const { chance, could } of acts) {
      const { calls = 0, could: before = 0 } = tally[chance] ?? {};
      tally[chance] = { calls: calls + 1, could: before + Number(could) };
    }
    localStorage.setItem(KEY, JSON.stringify(tally));
  } catch {
    // Forbidden in this frame: then this game stands alone.
  }
  return tally;
}

/**
 * @param {ReturnType<typeof called>} acts
 * @param {Tally} tally
 */
export function drawCalled(acts, tally) {
  if (acts.length === 0) return null;
  const brier = acts.reduce((sum, { chance, could }) => sum + (chance / 100 - Number(could)) ** 2, 0) / acts.length;
  const knew = acts.filter(({ chance, could }) => chance === 0 && !could).length;
  return h(
    "details",
    { class: "called", open: true },
    h("summary", {}, h("h3", {}, "What you called, and what it was")),
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["Step", "Act", "You said", "It was"].map((text) => h("th", { scope: "col" }, text)))),
      h(
        "tbody",
        {},
        acts.map(({ step, text, chance, could }) =>
          h(
            "tr",
            { class: chance !== 50 && (chance === 100) !== could ? "is-wrong" : null },
            h("td", {}, step),
            h("th", { scope: "row" }, h("code", {}, text)),
            h("td", {}, said(chance)),
            h("td", {}, could ? "can be taken back" : "irreversible"),
          ),
        ),
      ),
    ),
    h("p", {}, `Brier score ${brier.toFixed(2)}: 0 is always right, 0.25 is never knowing.`, knew > 0 && ` ${count(knew, "time")} you said that it could not be taken back, were right, and did it.`),
    h(
      "table",
      { class: "curve-table" },
      h("caption", {}, "Over all games in this browser"),
      h("thead", {}, h("tr", {}, ["You said", "Acts", "Could be taken back"].map((text) => h("th", { scope: "col" }, text)))),
      h(
        "tbody",
        {},
        CALLS.filter(([chance]) => tally[chance]).map(([chance]) => {
          const { calls, could } = tally[chance];
          return h(
            "tr",
            {},
            h("th", { scope: "row" }, said(chance)),
            h("td", {}, calls),
            h("td", {}, h("span", { class: "bar", "aria-hidden": "true", vars: { "--share": could / calls } }), `${Math.round((100 * could) / calls)}%`),
          );
        }),
      ),
    ),
  );
}

/** @param {number} chance */
function said(chance) {
  return chance === 100 ? "it can" : chance === 0 ? "it cannot" : "do not know";
}
