/** The share of the file cleanup: its files to scale. */

import { h } from "../dom.js";
import { bar, changed, either, facts, tag, thing } from "./parts.js";

/** @param {number} days */
function retention(days) {
  if (days === 0) return "no date";
  return days > 0 ? `${days} days left` : `ended ${-days} days ago`;
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

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  const { state, before } = scene;
  const files = /** @type {[string, Record<string, any>][]} */ (Object.entries(state.files));
  const largest = Math.max(...files.map(([, file]) => file.size_mb));
  const held = files.filter(([, file]) => file.status === "present").reduce((sum, [, file]) => sum + file.size_mb, 0);
  const total = files.reduce((sum, [, file]) => sum + file.size_mb, 0);
  return [
    h("p", { class: "world-line" }, `${held} MB on the share, ${total - held} MB freed`),
    h(
      "div",
      { class: "volume", "aria-hidden": "true" },
      files.map(([, file]) => h("span", { class: `slice slice-${file.status}`, vars: { "--size": file.size_mb } })),
    ),
    state.directories.map((/** @type {string} */ directory) => {
      const own = files.filter(([, file]) => file.directory === directory);
      return h(
        "section",
        { class: "folder" },
        h("h3", {}, thing(scene, { directories: directory })),
        own.length === 0 && h("p", { class: "soft" }, "No files."),
        h(
          "ul",
          { class: "things" },
          own.map(([path, file]) => {
            const then = before?.files?.[path];
            return h(
              "li",
              { class: `card card-${file.status}` },
              h(
                "div",
                { class: "card-head" },
                thing(scene, { files: path }, base(path)),
                h("span", { class: "size" }, bar(file.size_mb / largest), ` ${file.size_mb} MB`),
                tag(status(file), file.status === "present" ? "plain" : "gone", changed(file, then, "status")),
              ),
              facts(file, then, [
                ["format", "format"],
                ["temporary", "temporary", either("yes", "no")],
                ["important", "importance", importance],
                ["owner", "owner"],
                ["days", "modified", (days) => `${days} days ago`],
                ["referenced_by", "referenced by", (paths) => paths.map(base).join(", ") || "nothing"],
                ["retention_days_left", "retention", retention],
                ["locked_by", "lock", (lock) => lock || "none"],
                ["erasure_order", "erasure order", either("yes", "no")],
                ["snapshots", "snapshots"],
                ["note", "note"],
              ]),
            );
          }),
        ),
      );
    }),
  ];
}
