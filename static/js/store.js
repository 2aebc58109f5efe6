/**
 * The running episode as this browser tab keeps it, so that a reload goes on where it was.
 *
 * Owns what is kept. It is a convenience: the server has the episode, and storage may be forbidden.
 */

import { DEFAULT } from "./variant.js";

/** @typedef {import("./api.js").Scenario} Scenario */
/** @typedef {import("./approvals.js").Turn} Turn */
/** @typedef {{id: string, scenario: Scenario, turns: Turn[]}} Kept */

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
