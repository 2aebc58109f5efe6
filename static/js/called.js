/**
 * Called against was: whether an act could be taken back, as it was called before it was made, and as it turned out.
 *
 * Owns the comparison and this browser's tally over all games. It is drawn after the end, from a report.
 */

import { h } from "./dom.js";
import { CALLS } from "./forms.js";
import { drawCalibration } from "./plots.js";
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
 * This browser's curve over all its games; `null` if nothing was called yet.
 * @param {Tally} [tally]
 * @returns {import("./plots.js").Calibration | null}
 */
export function ownCalibration(tally = tallied([], false)) {
  const bins = CALLS.filter(([chance]) => tally[chance]).map(([chance]) => {
    const { calls, could } = tally[chance];
    return /** @type {[number, number, number]} */ ([chance / 100, could / calls, calls]);
  });
  bins.sort(([one], [other]) => one - other);
  return bins.length ? { name: "you", bins, isOwn: true } : null;
}

/**
 * @param {ReturnType<typeof called>} acts
 * @param {Tally} tally
 * @param {import("./plots.js").Calibration[]} models  To stand beside.
 */
export function drawCalled(acts, tally, models) {
  if (acts.length === 0) return null;
  const brier = acts.reduce((sum, { chance, could }) => sum + (chance / 100 - Number(could)) ** 2, 0) / acts.length;
  const own = ownCalibration(tally);
  const knew = acts.filter(({ chance, could }) => chance === 0 && !could).length;
  return h(
    "details",
    { class: "called", open: true },
    h("summary", {}, h("h3", {}, "What you called, and what it was")),
    h(
      "div",
      { class: "table-place", tabindex: "0", role: "region", "aria-label": "What you called, and what it was" },
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
    ),
    h("p", {}, `Brier score ${brier.toFixed(2)}: 0 is always right, 0.25 is never knowing.`, knew > 0 && ` ${count(knew, "time")} you said that it could not be taken back, were right, and did it.`),
    h("h4", {}, "Over all games in this browser"),
    own && h("div", { class: "plots" }, drawCalibration([...models, own])),
    models.length === 0 && h("p", { class: "soft" }, "No model's predictions are recorded with this version yet, and reference policies predict nothing."),
  );
}

/** @param {number} chance */
function said(chance) {
  return chance === 100 ? "it can" : chance === 0 ? "it cannot" : "do not know";
}
