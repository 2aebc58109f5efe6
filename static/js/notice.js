/**
 * What goes wrong, as a sentence with a way on.
 */

import { h } from "./dom.js";

/** Something whose message is a sentence for people. */
export class Told extends Error {}

/** A link or a file that cannot be used. */
export class Unreadable extends Told {}

/**
 * @param {unknown} error
 * @param {{label: string, act: () => void}[]} ways  What can be done next.
 */
export function notice(error, ways) {
  // Any other error is a fault of this page: the console tells more.
  if (!(error instanceof Told)) console.error(error);
  const text = error instanceof Told ? error.message : "This page made a mistake. Reload it: a running episode is kept.";
  return h(
    "div",
    { class: "notice", role: "alert" },
    h("p", {}, text),
    h(
      "p",
      { class: "actions-row" },
      ways.map((way) => h("button", { type: "button", class: "quiet-button", on: { click: way.act } }, way.label)),
    ),
  );
}
