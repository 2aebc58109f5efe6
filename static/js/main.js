/**
 * The frame of the page: which view is shown, and what happens when one cannot be.
 *
 * Must not know what a view does.
 */

import { focusOn, h, show } from "./dom.js";
import { parse } from "./link.js";
import * as lobby from "./lobby.js";
import { notice, Told } from "./notice.js";

/**
 * A view draws itself into a place and returns what is to be done when it is left.
 * @typedef {(place: HTMLElement, params: URLSearchParams) => Promise<void | (() => void)>} Mount
 */

/** Loaded when asked for, so that the first paint waits for none of them. */
const VIEWS = /** @type {Record<string, () => Promise<{mount: Mount}>>} */ ({
  lobby: async () => lobby,
  play: () => import("./play.js"),
  watch: () => import("./watch.js"),
  replay: () => import("./replay.js"),
  results: () => import("./results.js"),
  live: () => import("./live.js"),
  branch: () => import("./branch.js"),
  checks: async () => ({ mount: (await import("./results.js")).mountChecks }),
});

const WORLD = ["files", "fleet", "migration", "parts", "plain", "tables", "ward", "world"].map((name) => `worlds/${name}`);
const PLAYER = [...WORLD, "branch", "cut", "explained", "grade", "messages", "player", "risk", "screen"];
const TABLES = ["atlas", "called", "forms", "plots"];
/** What a view is made of besides its own script: asked for with it, where each would be found in the one before. */
const PARTS = /** @type {Record<string, string[]>} */ ({
  play: [...WORLD, "approvals", "forms", "job", "looks", "panel"],
  watch: PLAYER,
  replay: [...PLAYER, "again", "records"],
  results: TABLES,
  checks: TABLES,
  live: [...PLAYER, "again", "growing", "liveepisode", "liverun", "livestage", "records", "run"],
});

const TITLES = /** @type {Record<string, string>} */ ({
  lobby: "SafeAct-Env",
  play: "Play - SafeAct-Env",
  watch: "Watch - SafeAct-Env",
  replay: "Replay - SafeAct-Env",
  results: "Results - SafeAct-Env",
  live: "Live - SafeAct-Env",
  branch: "Play - SafeAct-Env",
  checks: "Checks - SafeAct-Env",
});

const place = /** @type {HTMLElement} */ (document.getElementById("view"));
const main = /** @type {HTMLElement} */ (document.getElementById("main"));

/** @type {void | (() => void)} */
let leave;
let latest = 0;
let isFirst = true;

/** @param {string} view */
function askForParts(view) {
  for (const part of PARTS[view] ?? []) {
    const href = new URL(`${part}.js`, import.meta.url).href;
    document.head.append(h("link", { rel: "modulepreload", href }));
  }
  // Once: they stay.
  delete PARTS[view];
}

async function route() {
  // The skip link's target is no view.
  if (location.hash === "#main") return;
  const mine = ++latest;
  const { view, params } = parse(location.hash);
  const name = Object.hasOwn(VIEWS, view) ? view : "lobby";
  leave?.();
  leave = undefined;
  // A place of its own, so that a view that is late cannot draw into its successor's.
  const own = document.createElement("div");
  show(place, own);
  document.body.dataset.view = name;
  document.title = TITLES[name];
  for (const link of document.querySelectorAll("nav a")) {
    const isCurrent = /** @type {HTMLElement} */ (link).dataset.view === name;
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!isFirst) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  isFirst = false;
  try {
    askForParts(name);
    const loaded = await VIEWS[name]().catch(() => {
      throw new Told("A part of this page could not be loaded. Reload it when the server is back.");
    });
    const left = await loaded.mount(own, params);
    if (mine === latest) leave = left;
    else left?.();
  } catch (error) {
    if (mine !== latest) return;
    const failed = notice(error, [
      { label: "Try again", act: () => (error instanceof Told ? route() : location.reload()) },
      { label: "Back to the start", act: () => (location.hash = "#/") },
    ]);
    show(own, h("h1", {}, "That did not work."), failed);
    focusOn(failed);
  }
}

window.addEventListener("hashchange", route);
route();
