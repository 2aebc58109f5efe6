/**
 * The token of a server that asks for one: typed in once, kept for this browser tab only.
 *
 * Must not know what is asked of the server.
 */

import { h } from "./dom.js";

const KEY = "safeact.token";

/** @type {string | null} */
let token = null;
try {
  token = sessionStorage.getItem(KEY);
} catch {
  // Forbidden in this frame: it is asked for again after a reload.
}

/** @type {Promise<boolean> | null} */
let asked = null;

/** The headers that show the token, if there is one. */
export function headers() {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/**
 * Asks for a token, once however many requests need one. Whether there is a new one.
 * @returns {Promise<boolean>}
 */
export function askForToken() {
  asked ??= question(token !== null).finally(() => (asked = null));
  return asked;
}

/**
 * @param {boolean} isWrong  Whether the one there was did not do.
 * @returns {Promise<boolean>}
 */
function question(isWrong) {
  const input = /** @type {HTMLInputElement} */ (
    h("input", { type: "password", id: "token", required: true, autocomplete: "off", spellcheck: "false" })
  );
  const form = h(
    "form",
    {},
    h("h2", { id: "token-title" }, "This server needs a token."),
    h("p", {}, isWrong ? "It did not accept the one you gave. Try another." : "Whoever runs it can give you one."),
    h("p", { class: "field" }, h("label", { for: "token" }, "Token"), input),
    h(
      "p",
      { class: "actions-row" },
      h("button", { type: "submit", class: "button" }, "Use it"),
      h("button", { type: "button", class: "quiet-button", on: { click: () => dialog.close() } }, "Go without"),
    ),
  );
  const dialog = /** @type {HTMLDialogElement} */ (h("dialog", { "aria-labelledby": "token-title" }, form));
  return new Promise((resolve) => {
    let isGiven = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      keep(input.value.trim());
      isGiven = true;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(isGiven);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** @param {string} given */
function keep(given) {
  token = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // Kept until the page is left, then.
  }
}
