/** Any state, for tasks without a picture of their own. */

import { h } from "../dom.js";
import { words } from "../text.js";
import { changed, thing, unknown } from "./parts.js";

/**
 * @param {unknown} value
 * @returns {import("../dom.js").Child}
 */
function drawn(value) {
  if (value === null) return unknown();
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ") || "none";
  return h(
    "dl",
    { class: "facts" },
    Object.entries(/** @type {object} */ (value)).map(([name, one]) => h("div", { class: "fact" }, h("dt", {}, words(name)), h("dd", {}, drawn(one)))),
  );
}

/** @param {import("./parts.js").Scene} scene */
export function draw(scene) {
  return Object.entries(scene.state).map(([source, part]) => {
    const isTable = typeof part === "object" && part !== null && Object.values(part).every((one) => typeof one === "object" && one !== null);
    return h(
      "section",
      { class: "folder" },
      h("h3", {}, words(source)),
      isTable && !Array.isArray(part)
        ? h(
            "ul",
            { class: "things things-wide" },
            Object.entries(part).map(([name, record]) =>
              h(
                "li",
                { class: `card${changed(part, scene.before?.[source], name) ? " is-new" : ""}` },
                h("div", { class: "card-head" }, thing(scene, { [source]: name })),
                drawn(record),
              ),
            ),
          )
        : h("p", {}, drawn(part)),
    );
  });
}
