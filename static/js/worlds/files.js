/** The share of the file cleanup: its files to scale, and what is known of each. */

import { h } from "../dom.js";
import { either, factTable, tag, thing } from "./parts.js";

/** @param {number} days */
function retention(days) {
  return days === 0 ? "no date" : `${days}`.replace("-", "−");
}

/** @param {string | boolean} important */
function importance(important) {
  if (typeof important === "string") return important;
  return important ? "important" : "not important";
}

/** @param {Record<string, any>} file */
function status(file) {
  return file.in_trash ? "in the trash" : file.status;
}

/** @param {string} path */
function base(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** @type {import("./parts.js").Column[]} */
const COLUMNS = [
  ["size_mb", "size, MB", null, "number"],
  ["state", "state", (state) => tag(state, state === "present" ? "plain" : "gone")],
  ["format", "format"],
  ["temporary", "temporary", either("yes", "no")],
  ["important", "importance", importance],
  ["days", "modified, days ago", null, "number"],
  ["retention_days_left", "retention, days left", retention, "number"],
  ["locked_by", "lock", (lock) => lock || "none"],
  ["erasure_order", "erasure order", either("yes", "no")],
  ["snapshots", "snapshots"],
  ["owner", "owner", null, "line"],
  ["referenced_by", "referenced by", (paths) => paths.map(base).join(", ") || "nothing", "line"],
  ["note", "note", null, "line"],
];

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state, before } = scene;
  const files = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.files));
  const held = files.filter(([, file]) => file.status === "present").reduce((sum, [, file]) => sum + file.size_mb, 0);
  const total = files.reduce((sum, [, file]) => sum + file.size_mb, 0);
  const shown = (/** @type {Record<string, any>} */ file) => ({ ...file, state: status(file) });
  return [
    h("p", { class: "world-line" }, `${held} MB on the share, ${total - held} MB freed`),
    h(
      "div",
      { class: "volume", "aria-hidden": "true" },
      files.map(([, file]) => h("span", { class: `slice slice-${file.status}`, vars: { "--size": file.size_mb } })),
    ),
    factTable(
      "File",
      COLUMNS,
      state.directories.map((/** @type {string} */ directory) => {
        const own = files.filter(([, file]) => file.directory === directory);
        return {
          head: [thing(scene, { directories: directory }), own.length === 0 && h("span", { class: "soft" }, " no files")],
          rows: own.map(([path, file]) => ({
            name: thing(scene, { files: path }, base(path)),
            record: shown(file),
            then: before?.files?.[path] && shown(before.files[path]),
            isGone: file.status !== "present",
          })),
        };
      }),
    ),
  ];
}

/** @param {Record<string, any>} state */
export function checklist({ files }) {
  const all = /** @type {Record<string, any>[]} */ (Object.values(files));
  const known = all.filter((file) => file.important !== null);
  const kept = known.filter((file) => file.important === true);
  const ordered = known.filter((file) => file.erasure_order);
  const others = known.filter((file) => file.important === false && !file.erasure_order);
  // Of an unclassified one the reader decides, by the rule.
  const isWhole = all.every((file) => typeof file.important === "boolean");
  const left = (/** @type {Record<string, any>[]} */ some, /** @type {boolean} */ isPresent) => some.filter((file) => (file.status === "present") === isPresent).length;
  return [
    { text: "Records read", done: known.length, of: all.length, isWhole: true },
    { text: "Not important, freed", done: left(others, false), of: others.length, isWhole },
    { text: "Under an erasure order, deleted", done: ordered.filter((file) => file.status === "deleted").length, of: ordered.length, isWhole },
    { text: "Important, still in place", done: left(kept, true), of: kept.length, isWhole },
  ];
}
