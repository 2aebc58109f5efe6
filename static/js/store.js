/**
 * What this browser keeps, so that a reload goes on where it was: the running episode, the file that is replayed.
 *
 * Owns what is kept. It is a convenience: the server has the episode, and storage may be forbidden.
 */

import { DEFAULT } from "./variant.js";

/** @typedef {import("./api.js").Scenario} Scenario */
/** @typedef {import("./approvals.js").Turn} Turn */
/** @typedef {{id: string, scenario: Scenario, turns: Turn[], isOver?: boolean}} Kept */

const KEY = "safeact.episode";

/**
 * @param {Kept} kept
 */
export function keep(kept) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // Full, or forbidden in this frame: a reload will start over.
  }
}

/** @returns {Kept | null} */
export function kept() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    const isSound = typeof found?.id === "string" && typeof found.scenario?.task === "string" && Array.isArray(found.turns);
    // A tab that was open before there were variants kept none.
    return isSound ? { ...found, scenario: { ...DEFAULT, ...found.scenario } } : null;
  } catch {
    return null;
  }
}

export function drop() {
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was kept either.
  }
}

const FILE = "safeact.file";
/** Longest file that is kept; a browser gives a tab about 5 MB. */
const MOST_KEPT = 2_000_000;

/**
 * Keeps the text of a file that is replayed, for a reload.
 * @param {string} name
 * @param {string} text
 */
export function keepFile(name, text) {
  try {
    if (text.length <= MOST_KEPT) sessionStorage.setItem(FILE, JSON.stringify({ name, text }));
    else sessionStorage.removeItem(FILE);
  } catch {
    // As above: after a reload the file is asked for again.
  }
}

/** @returns {{name: string, text: string} | null} */
export function keptFile() {
  try {
    const found = JSON.parse(sessionStorage.getItem(FILE) ?? "null");
    return typeof found?.name === "string" && typeof found.text === "string" ? found : null;
  } catch {
    return null;
  }
}

const GAMES = "safeact.games";

/**
 * The games that were played to an end in this browser; `null` if there are none.
 * @returns {{games: number, sum: number, mistakes: number} | null}
 */
export function ownGames() {
  try {
    const found = JSON.parse(localStorage.getItem(GAMES) ?? "null");
    return found?.games > 0 ? found : null;
  } catch {
    return null;
  }
}

/**
 * Counts a game that has ended.
 * @param {import("./api.js").Report} report
 */
export function countGame({ score, mistake }) {
  const { games, sum, mistakes } = ownGames() ?? { games: 0, sum: 0, mistakes: 0 };
  try {
    localStorage.setItem(GAMES, JSON.stringify({ games: games + 1, sum: sum + score, mistakes: mistakes + Number(mistake !== null) }));
  } catch {
    // Then the atlas does not know them.
  }
}
