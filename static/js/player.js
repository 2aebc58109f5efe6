/**
 * Stepping through episodes that are over: one, or two beside each other.
 *
 * Owns the transport: scrubber, keys, speed, and which of two is shown where there is room for one.
 */

import { branch, canBranch } from "./branch.js";
import { focusOn, h, show } from "./dom.js";
import { legend, parting, track } from "./marks.js";
import { Screen } from "./screen.js";

/** @typedef {import("./screen.js").Run} Run */

/** A step at speed 1. */
const STEP_MS = 1400;
const SPEEDS = [0.5, 1, 2, 4];
/** From this width on, there is room for the list of steps beside the world; as in the style sheet. */
const WIDE = "(min-width: 60rem)";

/**
 * @param {Run[]} runs
 * @param {object} [options]
 * @param {number} [options.at]  The step to begin at.
 * @param {(step: number) => void} [options.onStep]  Told of every step that is shown.
 */
export function createPlayer(runs, { at: first = 0, onStep = () => {} } = {}) {
  const last = Math.max(...runs.map((run) => run.report.steps.length));
  const parts = parting(runs.map((run) => run.report));
  let at = Math.max(0, Math.min(last, first));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const title = h("h2", { class: "player-title" }, runs.map((run) => run.title).join(" and "));
  const position = h("input", { id: "player-position", type: "range", min: 0, max: last, value: 0, on: { input: () => go(Number(position.value)) } });
  const number = h("output", { for: position.id, class: "player-number" });
  const toggle = h("button", { type: "button", class: "button", on: { click: switchOver } }, "Play");
  const speed = h("select", { id: "player-speed" }, SPEEDS.map((value) => h("option", { value }, `${value}×`)));
  speed.value = "1";
  const screens = runs.map((run) => new Screen(run, last, parts, go));
  for (const screen of screens) screen.list.open = runs.length === 1 && window.matchMedia(WIDE).matches;
  let turnedTo = 0;
  const take = h("button", { type: "button", class: "chip", on: { click: () => branch(runs[turnedTo].report, at) } });
  const tabs = runs.map((run, index) => h("button", { type: "button", class: "chip", on: { click: () => turnTo(index) } }, run.title));
  const element = h(
    "section",
    { class: "player", "aria-label": title.textContent },
    title,
    h(
      "div",
      { class: "transport" },
      toggle,
      h("button", { type: "button", class: "quiet-button", on: { click: () => go(at - 1) } }, "Back"),
      h("button", { type: "button", class: "quiet-button", on: { click: () => go(at + 1) } }, "Step"),
      h("button", { type: "button", class: "quiet-button", on: { click: () => go(last) } }, "To the end"),
      h("span", { class: "field-row player-speed" }, h("label", { for: speed.id }, "Speed"), speed),
      h(
        "div",
        { class: "player-where" },
        h("label", { for: position.id }, "Step"),
        h("div", { class: "scrubber" }, position, runs.map((run) => track(run.report, last, parts, go))),
        number,
      ),
      h(
        "p",
        { class: "player-notes" },
        legend(),
        take,
        parts !== null && h("button", { type: "button", class: "chip", on: { click: () => go(parts + 1) } }, `They part at step ${parts + 1}`),
      ),
      runs.length > 1 && h("p", { class: "tabs", role: "group", "aria-label": "Whose world" }, tabs),
    ),
    h("div", { class: runs.length > 1 ? "screens screens-two" : "screens" }, screens.map((screen) => screen.element)),
  );
  document.addEventListener("keydown", pressed);
  turnTo(0);
  // The boxes have no size before they are part of the page.
  requestAnimationFrame(() => element.isConnected && draw());
  return { element, focus: () => focusOn(title), play, stop };

  /** @param {number} index  Of the episode that is shown where there is room for one only. */
  function turnTo(index) {
    turnedTo = index;
    for (const [one, screen] of screens.entries()) {
      screen.element.classList.toggle("is-turned-to", one === index);
      tabs[one].setAttribute("aria-pressed", one === index ? "true" : "false");
    }
    draw();
  }

  /** @param {KeyboardEvent} event */
  function pressed(event) {
    if (!element.isConnected || event.ctrlKey || event.altKey || event.metaKey) return;
    const target = /** @type {HTMLElement} */ (event.target);
    // What takes keys itself keeps them.
    if (target.closest("input, select, textarea, dialog")) return;
    if (event.key === " " && target.closest("button, summary, a")) return;
    /** @type {Record<string, () => void>} */
    const keys = { " ": switchOver, ArrowLeft: () => go(at - 1), ArrowRight: () => go(at + 1), Home: () => go(0), End: () => go(last) };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }

  function switchOver() {
    if (timer === undefined) play();
    else pause();
  }

  /** @param {number} to */
  function go(to) {
    pause();
    at = Math.max(0, Math.min(last, to));
    draw();
  }

  function draw() {
    position.value = String(at);
    number.textContent = `${at} of ${last}`;
    for (const screen of screens) screen.draw(at);
    take.hidden = !canBranch(runs[turnedTo].report, at);
    show(take, `Take ${runs.length > 1 ? `${runs[turnedTo].title}'s` : "it"} from step ${at + 1}`);
    onStep(at);
  }

  function play() {
    if (at >= last) at = 0;
    draw();
    toggle.textContent = "Pause";
    timer = setTimeout(tick, STEP_MS / Number(speed.value));
  }

  function tick() {
    // Taken from the page, by a change of view say: nobody is watching.
    if (!element.isConnected) return stop();
    at += 1;
    draw();
    if (at < last) timer = setTimeout(tick, STEP_MS / Number(speed.value));
    else pause();
  }

  function pause() {
    clearTimeout(timer);
    timer = undefined;
    toggle.textContent = "Play";
  }

  function stop() {
    pause();
    document.removeEventListener("keydown", pressed);
  }
}
