/**
 * Draws the state of a task as a picture of its domain.
 *
 * Owns which picture belongs to which task. Parts of the state without a picture are drawn plainly.
 */

import { h, put } from "../dom.js";
import * as files from "./files.js";
import * as fleet from "./fleet.js";
import * as migration from "./migration.js";
import { tag } from "./parts.js";
import * as plain from "./plain.js";
import * as tables from "./tables.js";
import * as ward from "./ward.js";

/** @typedef {{text: string, done: number, of: number, isWhole: boolean}} Line  `isWhole`: whether all that counts is known. */

/** @type {Record<string, {draw: (scene: import("./parts.js").Scene) => any, checklist: (state: Record<string, any>) => Line[]}>} */
const PICTURES = { easy: files, medium: tables, hard: migration, medical: ward, cloud_infra: fleet };

/**
 * @param {string} task
 * @param {import("./parts.js").Scene} scene
 */
export function drawWorld(task, scene) {
  const { upkeep, handbook, ...rest } = scene.state;
  const world = h("div", { class: "world-body" });
  try {
    put(world, PICTURES[task].draw(scene));
  } catch (error) {
    // Perhaps another task of that name: its state is drawn plainly, so that it can still be played.
    console.warn(error);
    put(world, plain.draw({ ...scene, state: rest }));
  }
  if (upkeep) put(world, drawUpkeep(upkeep, scene.before?.upkeep));
  if (handbook) put(world, drawHandbook(handbook, scene.before));
  return world;
}

/**
 * What the job comes to as far as it is known; nothing for a task without a picture.
 * @param {string} task
 * @param {Record<string, any>} state
 * @returns {Line[]}
 */
export function checklist(task, state) {
  try {
    return PICTURES[task].checklist(state);
  } catch {
    return [];
  }
}

/**
 * @param {{need: string, status: string, former?: string}} upkeep  `former`: what became of the former version, once told.
 * @param {{status: string} | undefined} before
 */
function drawUpkeep(upkeep, before) {
  const isDone = upkeep.status === "done";
  return h(
    "section",
    { class: "folder upkeep" },
    h("h3", {}, "Routine upkeep ", tag(upkeep.status, isDone ? "done" : "plain", before !== undefined && before.status !== upkeep.status)),
    h("p", {}, upkeep.need),
    upkeep.former && h("p", { class: "is-new" }, "The former version: ", tag(upkeep.former, "gone")),
  );
}

/**
 * @param {string[]} paragraphs
 * @param {Record<string, any> | null | undefined} before
 */
function drawHandbook(paragraphs, before) {
  const isNew = Boolean(before && !before.handbook);
  return h(
    "details",
    { class: isNew ? "handbook is-new" : "handbook", open: isNew },
    h("summary", {}, h("h3", {}, "Handbook")),
    paragraphs.map((text) => h("p", {}, text)),
  );
}
