/**
 * The first screen's demonstration: a recorded agent that destroys something beside one that looked first.
 *
 * Owns how the two are played, small and by themselves. What they did was recorded when the package was made.
 */

import { firstRecorded } from "./api.js";
import { h, show } from "./dom.js";
import { kindOf, legend, mark } from "./marks.js";
import { count, points, values, words } from "./text.js";

/** @typedef {import("./api.js").Explanation} Explanation */
/** @typedef {{policy: string, report: import("./api.js").Report, told: Explanation | null}} Recorded */

const STEP_MS = 1900;
/** How long the end stays before it begins again. */
const END_MS = 9000;

/** @type {Record<string, string>} */
const TITLES = { naive: "An agent that goes by names", expert: "One that looked first" };

/**
 * @param {HTMLElement} place
 * @returns {() => void}  Stops it.
 */
export function mountDemo(place) {
  const stop = new AbortController();
  firstRecorded().then(
    ({ runs }) => !stop.signal.aborted && playBoth(place, runs, stop.signal),
    // Without the recording the page is whole all the same.
    () => {},
  );
  return () => {
    stop.abort();
    show(place);
  };
}

/**
 * @param {HTMLElement} place
 * @param {Recorded[]} runs
 * @param {AbortSignal} signal
 */
function playBoth(place, runs, signal) {
  const last = Math.max(...runs.map((run) => run.report.steps.length));
  const fields = runs.flatMap((run) => run.told?.facts.map((fact) => fact.field) ?? []).filter((field) => !field.startsWith("re"));
  const isStill = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  let at = isStill ? last : 0;
  let isPaused = isStill;
  let isSeen = true;
  const toggle = h("button", { type: "button", class: "chip", on: { click: switchOver } });
  const panes = runs.map((run) => ({ run, place: h("article", { class: "demo-run", "aria-label": TITLES[run.policy] ?? run.policy }) }));
  show(place, h("div", { class: "demo-runs" }, panes.map((pane) => pane.place)), h("div", { class: "demo-foot soft" }, h("span", {}, "Recorded; both had the same job, level 1."), toggle, legend()));
  // Nobody looks: it waits.
  const watcher = new IntersectionObserver(([entry]) => (isSeen = entry.isIntersecting));
  watcher.observe(place);
  const timer = setInterval(tick, STEP_MS);
  let rest = 0;
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    watcher.disconnect();
  });
  draw();

  function switchOver() {
    if (isPaused && at >= last) at = 0;
    isPaused = !isPaused;
    draw();
  }

  function tick() {
    if (isPaused || !isSeen || document.hidden) return;
    if (at < last) at += 1;
    else if ((rest += STEP_MS) >= END_MS) at = rest = 0;
    draw();
  }

  function draw() {
    toggle.textContent = isPaused ? "Play it" : "Pause";
    for (const pane of panes) show(pane.place, drawRun(pane.run, Math.min(at, pane.run.report.steps.length), fields));
  }
}

/**
 * @param {Recorded} run
 * @param {number} taken
 * @param {string[]} fields  What decided.
 */
function drawRun({ policy, report, told }, taken, fields) {
  const isOver = taken >= report.steps.length;
  const step = report.steps[taken - 1];
  const state = step ? step.current_state : report.start?.current_state;
  const lost = isOver && told ? told.gone.map((one) => one.path.at(-1)) : [];
  const about = step && Object.values(step.parameters).map(String);
  return [
    h("h2", {}, TITLES[policy] ?? policy),
    h("p", { class: "demo-marks", "aria-hidden": "true" }, report.steps.slice(0, taken).map((_one, index) => mark(kindOf(report, index)))),
    h(
      "ul",
      { class: "demo-things" },
      Object.entries(state?.files ?? {}).map(([path, file]) => {
        const isLost = lost.includes(path);
        const isTouched = about?.includes(path);
        return h(
          "li",
          { class: isLost ? "is-fatal" : isTouched ? "is-touched" : null },
          h("span", { class: isLost ? "thing is-lost" : "thing" }, path.slice(path.lastIndexOf("/") + 1)),
          h("span", { class: "demo-facts" }, fields.map((field) => h("span", { class: file[field] === null ? "gap" : "demo-fact" }, file[field] === null ? words(field).toLowerCase() : `${words(field).toLowerCase()}: ${said(file[field])}`))),
          h("span", { class: file.status === "present" ? "tag" : "tag tag-gone" }, file.status),
        );
      }),
    ),
    h("p", { class: "demo-step" }, step ? [mark(kindOf(report, taken - 1)), ` ${taken}. `, h("code", {}, step.action_name), ` ${base(values(step.parameters))}`] : "Three files, one job: free the disk."),
    h("p", { class: isOver && told ? "demo-end demo-loss" : "demo-end" }, isOver ? drawEnd(report, told) : ""),
  ];
}

/**
 * @param {import("./api.js").Report} report
 * @param {Explanation | null} told
 */
function drawEnd(report, told) {
  if (!told) return `Grade ${points(report.score)}: it looked ${count(report.steps.filter((step) => step.risk === "safe").length, "time")}, asked once where it had to, and lost nothing.`;
  const [fact] = told.facts.filter((one) => one.field === "important");
  const deciding = fact ?? told.facts[0];
  return `Grade ${points(report.score)}: step ${told.step} destroys it for good. What told: ${words(deciding.field).toLowerCase()}: ${said(deciding.value)}, on the screen since step ${deciding.shown_at}.`;
}

/** @param {unknown} value */
function said(value) {
  return value === true ? "yes" : value === false ? "no" : String(value);
}

/** @param {string} text */
function base(text) {
  return text.split(" ").map((part) => part.slice(part.lastIndexOf("/") + 1)).join(" ").slice(0, 60);
}
