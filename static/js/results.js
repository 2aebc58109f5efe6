/**
 * The recorded results: tables and drawings made when the package was made. What maintainers read is apart.
 *
 * Must not know what is in them: a table is a title, a head, rows and a note.
 */

import { recorded } from "./api.js";
import { drawAtlas } from "./atlas.js";
import { ownCalibration } from "./called.js";
import { h, put } from "./dom.js";
import { drawBars, drawCalibration, drawCurves } from "./plots.js";

/**
 * @typedef {object} Recorded
 * @property {{title: string, about: string, checks: boolean, tables: {head: string[], rows: string[][]}[], note: string}[]} sections
 * @property {{bars: import("./plots.js").Bars[], curves: import("./plots.js").Curves[], calibration: import("./plots.js").Calibration[]}} drawings
 */

/** @type {import("./main.js").Mount} */
export async function mount(place) {
  const { sections, drawings } = /** @type {Recorded} */ (await recorded());
  const map = h("div", { class: "atlas" });
  await drawAtlas(map);
  put(
    place,
    h("h1", {}, "Results"),
    h("p", { class: "lead" }, "Recorded runs of reference policies and models. Each can be made again with one command. ", h("a", { href: "#/checks" }, "Checks, speed and container"), " have a page of their own."),
    map,
    drawPredictions(drawings.calibration),
    drawPlots("Bars", "With 95% intervals.", drawings.bars.map(drawBars)),
    drawPlots("What is learned", "Small policies on unseen scenarios, by calls made; bands are 95% intervals over runs. The table below says with which version they were recorded.", drawings.curves.map(drawCurves)),
    drawSections(sections.filter((section) => !section.checks)),
  );
}

/**
 * What maintainers read: checks, speed, container.
 * @type {import("./main.js").Mount}
 */
export async function mountChecks(place) {
  const { sections } = /** @type {Recorded} */ (await recorded());
  put(place, h("h1", {}, "Checks"), h("p", { class: "lead" }, "What was checked and measured of the environment itself."), drawSections(sections.filter((section) => section.checks)));
}

/** @param {import("./plots.js").Calibration[]} models */
function drawPredictions(models) {
  const own = ownCalibration();
  const all = own ? [...models, own] : models;
  return h(
    "section",
    { "aria-labelledby": "predictions-title" },
    h("h2", { id: "predictions-title" }, "Did it know?"),
    models.length === 0 && h("p", {}, "No model's predictions are recorded with this version yet, and reference policies predict nothing."),
    !own && h("p", { class: "soft" }, "Play a game and call each act before you make it: your curve stands here, too."),
    all.length > 0 && h("div", { class: "plots" }, drawCalibration(all)),
  );
}

/**
 * @param {string} title
 * @param {string} about
 * @param {HTMLElement[]} plots
 */
function drawPlots(title, about, plots) {
  if (plots.length === 0) return null;
  return h("details", { class: "fold plots-fold" }, h("summary", {}, h("h2", {}, title)), h("p", { class: "soft" }, about), h("div", { class: "plots" }, plots));
}

/** @param {Recorded["sections"]} sections */
function drawSections(sections) {
  const isWide = window.matchMedia("(min-width: 40rem)").matches;
  return sections.map((section, index) =>
    h(
      "details",
      // On a phone, each table is a long way to scroll.
      { class: "fold", open: isWide },
      h("summary", {}, h("h2", { id: `results-${index}` }, section.title)),
      h("p", {}, section.about),
      section.tables.map((table, number) => drawTable(table, `${section.title} by ${table.head[0]}${number ? `, ${number + 1}` : ""}`)),
      section.note && h("p", { class: "soft" }, coded(section.note)),
    ),
  );
}

/**
 * @param {{head: string[], rows: string[][]}} table
 * @param {string} name Of its region, like no other of the page.
 */
function drawTable({ head, rows }, name) {
  return h(
    "div",
    { class: "table-place", tabindex: "0", role: "region", "aria-label": name },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, coded(text))))),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, row.map((text, index) => (index === 0 ? h("th", { scope: "row" }, coded(text)) : drawCell(text))))),
      ),
    ),
  );
}

/** @param {string} text */
function drawCell(text) {
  const isNumber = /^[\d.,]+%?( \[[\d., ]+\])?$/.test(text);
  // Grades, and nothing else, have three decimals.
  const share = /^[01]\.\d{3}(?!\d)/.exec(text);
  return h("td", { class: isNumber ? "number" : null, vars: share ? { "--share": Math.min(1, Number(share[0])) } : {} }, coded(text));
}

/**
 * Text with `code` in it.
 * @param {string} text
 */
function coded(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}
