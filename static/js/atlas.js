/**
 * The atlas: every recorded player by mistakes and grade, and every recorded episode a click away.
 *
 * Owns the scatter, the table that sorts and opens, and the grid of players by scenarios. Must not know how a replay
 * is drawn: a cell is an address.
 */

import { atlas } from "./api.js";
import { h, put, show, svg } from "./dom.js";
import { to } from "./link.js";
import { ownGames } from "./store.js";
import { points, words } from "./text.js";

/** @typedef {[value: number, low: number, high: number]} Measure */
/** @typedef {{task: string | null, level: number | null, framing: string | null, grade: Measure, mistakes: Measure, over_escalations: Measure}} Group */
/** @typedef {{name: string, title: string, kind: string, groups: Group[], cells: [score: number, steps: number, mistake: number][]}} Player */
/** @typedef {{framing: string, scenarios: [task: string, level: number, seed: number][], players: Player[]}} Atlas */

/** @typedef {{name: string, grade: number, mistakes: number, over: number | null, kind: string, player: Player | null}} Row */

const SIZE = 320;
const EDGE = 34;

/** @param {HTMLElement} place */
export async function drawAtlas(place) {
  const found = /** @type {Atlas} */ (await atlas());
  const rows = found.players.map(rowOf);
  const own = ownGames();
  if (own) rows.push({ name: "you", grade: own.sum / own.games, mistakes: own.mistakes / own.games, over: null, kind: "you", player: null });
  rows.sort((one, other) => other.grade - one.grade);
  put(
    place,
    h("div", { class: "atlas-top" }, drawScatter(rows), drawTable(rows, found.framing)),
    drawGrid(found),
  );
}

/** @param {Player} player */
function rowOf(player) {
  const whole = /** @type {Group} */ (player.groups.find((group) => group.task === null && group.level === null && group.framing === null) ?? player.groups[0]);
  return { name: player.title, grade: whole.grade[0], mistakes: whole.mistakes[0], over: whole.over_escalations[0], kind: player.kind, player };
}

/** @param {Row[]} rows */
function drawScatter(rows) {
  const x = (/** @type {number} */ share) => EDGE + share * (SIZE - EDGE - 20);
  const y = (/** @type {number} */ grade) => SIZE - EDGE - grade * (SIZE - EDGE - 12);
  return h(
    "figure",
    { class: "scatter" },
    svg(
      "svg",
      { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": "Grade against mistakes, a dot per player; the table has the numbers" },
      svg("path", { class: "scatter-axis", d: `M ${x(0)} ${y(1)} V ${y(0)} H ${x(1)}` }),
      [0, 0.5, 1].map((at) => [
        svg("text", { class: "scatter-text", x: x(at), y: SIZE - EDGE + 16, "text-anchor": "middle" }, `${at * 100}%`),
        svg("text", { class: "scatter-text", x: x(0) - 6, y: y(at) + 4, "text-anchor": "end" }, at),
      ]),
      svg("text", { class: "scatter-text", x: x(0.5), y: SIZE - 4, "text-anchor": "middle" }, "episodes ended by a mistake"),
      svg("text", { class: "scatter-text", x: x(0) + 6, y: y(1) - 2 }, "grade"),
      rows.map((row, index) => [
        svg("circle", { class: `scatter-dot is-${row.kind}`, cx: x(row.mistakes), cy: y(row.grade), r: row.kind === "policy" ? 5 : 7 }, svg("title", {}, `${index + 1}. ${row.name}: grade ${points(row.grade)}, mistakes ${percent(row.mistakes)}`)),
        row.kind !== "policy" && svg("text", { class: "scatter-name", x: x(row.mistakes) + (row.mistakes > 0.7 ? -10 : 10), y: y(row.grade) - 8, "text-anchor": row.mistakes > 0.7 ? "end" : "start" }, row.name),
      ]),
    ),
    h("figcaption", { class: "soft" }, "Small: reference policies. Large: models and trained networks, and you once you have played. Top left is where nothing is lost and the job is done."),
  );
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}

/** @type {[title: string, of: (row: Row) => number | string][]} */
const COLUMNS = [
  ["Player", (row) => row.name],
  ["Grade", (row) => row.grade],
  ["Mistakes", (row) => row.mistakes],
  ["Over-asked", (row) => row.over ?? -1],
];

/**
 * @param {Row[]} rows
 * @param {string} framing
 */
function drawTable(rows, framing) {
  const body = h("tbody", {});
  let by = 1;
  let isUp = false;
  const heads = COLUMNS.map(([title], index) => h("th", { scope: "col" }, h("button", { type: "button", class: "sort", on: { click: () => sort(index) } }, title)));
  const table = h("table", { class: "atlas-table" }, h("caption", { class: "unseen" }, "Players of the official suite"), h("thead", {}, h("tr", {}, heads)), body);
  draw();
  return h("div", { class: "table-place", tabindex: "0", role: "region", "aria-label": "Players of the official suite" }, table);

  /** @param {number} index */
  function sort(index) {
    isUp = by === index ? !isUp : index === 0;
    by = index;
    draw();
  }

  function draw() {
    const of = COLUMNS[by][1];
    const sorted = [...rows].sort((one, other) => (of(one) < of(other) ? -1 : of(one) > of(other) ? 1 : 0) * (isUp ? 1 : -1));
    for (const [index, head] of heads.entries()) {
      if (index === by) head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
    show(
      body,
      sorted.map((row) => [
        h(
          "tr",
          {},
          h("th", { scope: "row" }, row.player ? h("button", { type: "button", class: "sort", "aria-expanded": "false", on: { click: (event) => open(event.currentTarget, /** @type {Player} */ (row.player)) } }, row.name) : row.name),
          h("td", { class: "number", vars: { "--share": row.grade } }, points(row.grade)),
          h("td", {}, percent(row.mistakes)),
          h("td", {}, row.over === null ? "" : row.over.toFixed(2)),
        ),
      ]),
    );
  }

  /**
   * @param {HTMLElement} button
   * @param {Player} player
   */
  function open(button, player) {
    const row = /** @type {HTMLElement} */ (button.closest("tr"));
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", isOpen ? "false" : "true");
    if (isOpen) row.nextElementSibling?.remove();
    else row.after(h("tr", { class: "atlas-more" }, h("td", { colspan: COLUMNS.length }, drawMore(player, framing))));
  }
}

/** The level on which the suite has every framing. */
const FRAMED = 3;

/**
 * @param {Player} player
 * @param {string} framing  In which the suite has every level.
 */
function drawMore({ groups }, framing) {
  const ofTasks = groups.filter((group) => group.task !== null && group.level === null && group.framing === null);
  const ofAll = groups.filter((group) => group.task === null && group.level !== null && group.framing !== null);
  const parts = /** @type {[Group[], (group: Group) => string][]} */ ([
    [ofTasks, (group) => words(String(group.task))],
    [ofAll.filter((group) => group.framing === framing), (group) => `level ${group.level}`],
    [ofAll.filter((group) => group.level === FRAMED), (group) => words(String(group.framing))],
  ]);
  return parts.map(([found, name]) =>
    h(
      "dl",
      { class: "atlas-part" },
      found.map((group) => h("div", { class: "fact" }, h("dt", {}, name(group)), h("dd", {}, `${points(group.grade[0])}, ${percent(group.mistakes[0])}`))),
    ),
  );
}

/** @param {Atlas} found */
function drawGrid({ scenarios, players, framing }) {
  const tasks = [...new Set(scenarios.map(([task]) => task))];
  const levels = [...new Set(scenarios.map(([, level]) => level))];
  const task = h("select", { id: "grid-task", on: { change: draw } }, tasks.map((name) => h("option", { value: name }, name)));
  const level = h("select", { id: "grid-level", on: { change: draw } }, levels.map((number) => h("option", { value: number }, number)));
  const beside = h("select", { id: "grid-beside", on: { change: draw } }, h("option", { value: "" }, "nobody"), players.map(({ name }) => h("option", { value: name }, name)));
  task.value = tasks.includes("easy") ? "easy" : tasks[0];
  const place = h("div", { class: "table-place", tabindex: "0", role: "region", "aria-label": "Outcomes by player and seed" });
  draw();
  return h(
    "section",
    { "aria-labelledby": "grid-title" },
    h("h2", { id: "grid-title" }, "Every player on every scenario"),
    h("p", { class: "soft" }, `Framing ${framing}, split test. ✕ ended by a mistake, ● grade 1.00, ◐ less. Each leads to the replay, at its last step.`),
    h(
      "div",
      { class: "fields" },
      h("div", { class: "field" }, h("label", { for: task.id }, "Job"), task),
      h("div", { class: "field" }, h("label", { for: level.id }, "Level"), level),
      h("div", { class: "field" }, h("label", { for: beside.id }, "Show beside"), beside),
    ),
    place,
  );

  function draw() {
    const columns = scenarios.flatMap(([name, number, seed], index) => (name === task.value && String(number) === level.value ? [{ seed, index }] : []));
    show(
      place,
      h(
        "table",
        { class: "grid" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Seed"), columns.map(({ seed }) => h("th", { scope: "col" }, String(seed).slice(-4))))),
        h(
          "tbody",
          {},
          players.map(({ name, cells }) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, name),
              columns.map(({ index, seed }) => drawCell(name, index, seed, cells[index])),
            ),
          ),
        ),
      ),
    );
  }

  /**
   * @param {string} name
   * @param {number} index
   * @param {number} seed
   * @param {[number, number, number]} cell
   */
  function drawCell(name, index, seed, [score, steps, isMistake]) {
    const kind = isMistake ? "mistake" : score === 1 ? "full" : "part";
    const sign = { mistake: "✕", full: "●", part: "◐" }[kind];
    const other = beside.value && beside.value !== name ? { beside: beside.value } : {};
    const link = to("replay", { recorded: name, episode: index, ...other, step: steps });
    return h("td", { class: `cell cell-${kind}` }, h("a", { href: link, "aria-label": `${name}, seed ${seed}: ${isMistake ? "mistake, " : ""}${points(score)}`, title: points(score) }, sign));
  }
}
