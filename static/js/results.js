/**
 * The recorded results: tables and plots made when the package was made. What maintainers read is apart.
 *
 * Must not know what is in them: a table is a title, a head, rows and a note.
 */

import { recorded } from "./api.js";
import { drawAtlas } from "./atlas.js";
import { h, put } from "./dom.js";

/**
 * @typedef {object} Recorded
 * @property {{title: string, about: string, checks: boolean, tables: {head: string[], rows: string[][]}[], note: string}[]} sections
 * @property {{file: string, title: string, width: number, height: number}[]} plots
 */

/** @type {import("./main.js").Mount} */
export async function mount(place) {
  const { sections, plots } = /** @type {Recorded} */ (await recorded());
  const map = h("div", { class: "atlas" });
  await drawAtlas(map);
  put(
    place,
    h("h1", {}, "Results"),
    h("p", { class: "lead" }, "Recorded runs of reference policies and models. Each can be made again with one command. ", h("a", { href: "#/checks" }, "Checks, speed and container"), " have a page of their own."),
    map,
    drawSections(sections.filter((section) => !section.checks)),
    plots.map(({ file, title, width, height }) =>
      h("figure", { class: "plot" }, h("img", { src: new URL(`../plots/${file}`, import.meta.url).href, alt: title, loading: "lazy", width, height }), h("figcaption", {}, title)),
    ),
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

/** @param {Recorded["sections"]} sections */
function drawSections(sections) {
  return sections.map((section, index) =>
    h(
      "section",
      { "aria-labelledby": `results-${index}` },
      h("h2", { id: `results-${index}` }, section.title),
      h("p", {}, section.about),
      section.tables.map((table) => drawTable(table, section.title)),
      section.note && h("p", { class: "soft" }, coded(section.note)),
    ),
  );
}

/**
 * @param {{head: string[], rows: string[][]}} table
 * @param {string} title
 */
function drawTable({ head, rows }, title) {
  return h(
    "div",
    { class: "table-place", tabindex: "0", role: "region", "aria-label": `${title} by ${head[0]}` },
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
