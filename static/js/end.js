/**
 * The end of an episode: its outcome, the class of each step, and what would have warned.
 *
 * Owns the score card. It draws a report, which the server gives out only after the end.
 */

import { h, put, show } from "./dom.js";
import { explained } from "./explained.js";
import { gradeSum } from "./grade.js";
import { ofEpisode } from "./link.js";
import { createPlayer } from "./player.js";
import { riskMark } from "./risk.js";
import { callText, points, signed, words } from "./text.js";

/** @typedef {import("./api.js").Report} Report */
/** @typedef {import("./api.js").ReportStep} ReportStep */
/** @typedef {import("./api.js").TaskCard} TaskCard */

/** How long the trap takes to close, and stays. */
const CLOSING_MS = 2600;

/** @type {Record<string, [title: string, text: string]>} */
const TITLES = {
  irreversible_mistake: ["This cannot be undone.", "The simulator held your last action back. A real system would not have."],
  completed: ["Done, and nothing was lost.", "Everything the job asked for is done."],
  finished: ["Handed over as it stands.", "You ended the job; what was open stays open."],
  budget_exhausted: ["Out of steps.", "The budget was used up before the job was done."],
};

/**
 * The moment in which the trap closes. Ends by itself, or at any key or click.
 * @param {{action_name: string, parameters: Record<string, any>}} call
 * @returns {Promise<void>}
 */
export function playClosing(call) {
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return Promise.resolve();
  const curtain = h(
    "div",
    // The end that follows tells the same in words.
    { class: "closing", "aria-hidden": "true" },
    h("div", { class: "closing-half" }),
    h("div", { class: "closing-half" }),
    h("p", {}, h("code", {}, callText(call)), h("span", {}, "There is no way back.")),
  );
  document.body.append(curtain);
  return new Promise((resolve) => {
    const stop = new AbortController();
    const timer = setTimeout(end, CLOSING_MS);
    for (const event of ["keydown", "pointerdown"]) document.addEventListener(event, end, { signal: stop.signal });
    function end() {
      clearTimeout(timer);
      stop.abort();
      curtain.remove();
      resolve();
    }
  });
}

/**
 * @param {object} options
 * @param {TaskCard} options.card
 * @param {Report} options.report
 * @param {Report | null} options.expert  `null` where it is held out.
 * @param {import("./api.js").Explanation | null} options.told  Of the mistake.
 * @param {() => void} options.onAgain
 * @param {() => void} options.onNext
 * @param {() => void} options.onLeave
 */
export function drawEnd({ card, report, expert, told, onAgain, onNext, onLeave }) {
  const [heading, text] = TITLES[report.outcome] ?? [words(report.outcome), ""];
  const title = h("h2", { class: "end-title" }, heading);
  const replay = h("div", { class: "end-replay" });
  const element = h(
    "section",
    { class: `end end-${report.outcome}` },
    h("div", { class: "end-head" }, h("div", {}, title, h("p", { class: "lead" }, text)), drawScore(report)),
    told && explained(report, told),
    gradeSum(report, card),
    h(
      "p",
      { class: "actions-row" },
      h("button", { type: "button", class: "button", on: { click: onAgain } }, "Same seed again"),
      h("button", { type: "button", class: "quiet-button", on: { click: onNext } }, "Another seed"),
      h("button", { type: "button", class: "quiet-button", on: { click: stepThrough } }, "Step through it"),
      h("button", { type: "button", class: "quiet-button", on: { click: onLeave } }, "Another job"),
    ),
    drawLink(report),
    replay,
    h("h3", {}, expert ? "Your way and the expert's" : "Your way"),
    drawWays(report, expert),
  );
  return { element, title };

  function stepThrough() {
    const player = createPlayer([{ title: "You", report, told }]);
    show(replay, player.element);
    player.focus();
  }
}

/** @param {Report} report */
function drawScore(report) {
  return h(
    "p",
    { class: "score" },
    h("span", { class: "score-number" }, points(report.score)),
    h("span", {}, ` of 1 in ${report.steps.length} steps`),
    h("span", { class: "soft" }, `return ${signed(report.return)}, penalties ${points(report.penalties)}`),
  );
}

/** @param {Report} report */
function drawLink(report) {
  const field = h("input", { id: "episode-link", type: "text", readonly: true, value: location.href });
  const said = h("span", { role: "status" });
  const { task, split, seed, level, framing } = report;
  ofEpisode({ task, split, seed, level, framing }, report.steps).then(
    (hash) => (field.value = new URL(hash, location.href).href),
    // An old browser packs nothing: the link then holds the scenario without the steps.
    () => {},
  );
  return h(
    "p",
    { class: "link-row" },
    h("label", { for: field.id }, "A link to this episode"),
    field,
    h("button", { type: "button", class: "quiet-button", on: { click: copy } }, "Copy"),
    said,
  );

  async function copy() {
    try {
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied.";
    } catch {
      field.select();
      said.textContent = "Selected: copy it with your keyboard.";
    }
  }
}

/**
 * @param {Report} report
 * @param {Report | null} expert
 */
function drawWays(report, expert) {
  const yours = new Set(report.steps.map(callText));
  const theirs = new Set(expert?.steps.map(callText));
  const place = h("div", { class: "ways" });
  put(
    place,
    drawWay("You", report, expert ? theirs : null),
    expert
      ? drawWay("The expert", expert, yours)
      : h("p", { class: "soft" }, "The expert's way is told for the split train only: test is held out, so that it can still measure somebody."),
  );
  return place;
}

/**
 * @param {string} who
 * @param {Report} report
 * @param {Set<string> | null} other  The calls of the other one.
 */
function drawWay(who, report, other) {
  return h(
    "div",
    { class: "way" },
    h("h4", {}, `${who}: ${points(report.score)}`),
    h(
      "ol",
      { class: "way-steps" },
      report.steps.map((step, index) =>
        h(
          "li",
          { class: report.mistake?.step === index + 1 ? "way-step is-fatal" : "way-step" },
          h("span", { class: "way-call" }, h("code", {}, callText(step))),
          riskMark(step.risk),
          h("span", { class: "reward" }, signed(step.reward)),
          other?.has(callText(step)) && h("span", { class: "soft" }, "both"),
        ),
      ),
    ),
  );
}
