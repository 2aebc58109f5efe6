/**
 * The mistake explained: what would be gone, what told, what there was to do instead, what could have been asked.
 *
 * Owns the card, the same wherever an episode is shown. The server gives the explanation out after the end only.
 */

import { h } from "./dom.js";
import { callText, words } from "./text.js";

/** @typedef {import("./api.js").Explanation} Explanation */
/** @typedef {import("./api.js").Report} Report */

/** What becomes of a thing that is lost with it. */
const LOST = /delet|drop|truncat|terminat|gone|revok|empt|discharg/;

/**
 * @param {Report} report
 * @param {Explanation} told
 */
export function explained(report, told) {
  const fatal = report.steps[told.step - 1];
  const isLookalike = told.runbooks.some((one) => one.works !== null);
  return h(
    "div",
    { class: "explained", role: "group", "aria-label": "The mistake explained" },
    h("h3", {}, `Step ${told.step}: `, h("code", {}, callText(fatal))),
    fatal.reasoning && h("p", { class: "soft" }, "The reason given: ", h("q", {}, fatal.reasoning)),
    h(
      "div",
      { class: "explained-parts" },
      part("What would be gone", drawLoss(told)),
      part(isLookalike ? "What told: one of three keeps the former version" : heading(told), drawRunbooks(told), drawFacts(told)),
      part("What to do instead", drawInstead(told, isLookalike)),
      part("What asking would have brought", drawQuestion(told)),
    ),
  );
}

/**
 * @param {string} title
 * @param {...import("./dom.js").Children} children
 */
function part(title, ...children) {
  return h("div", { class: "explained-part" }, h("h4", {}, title), ...children);
}

/** @param {Explanation} told */
function heading({ facts, runbooks }) {
  const isKnown = facts.some((one) => one.shown_at !== null) || runbooks.some((one) => one.read_at !== null);
  return isKnown ? "What told" : "What would have told";
}

/** @param {Explanation} told */
function drawLoss({ gone, would }) {
  return [
    h(
      "ul",
      { class: "losses" },
      gone.map(({ name, field, was, would_be: then }) =>
        h(
          "li",
          {},
          LOST.test(String(then)) ? h("del", {}, name) : h("strong", {}, name),
          field !== "former" && h("span", { class: "soft" }, ` ${words(field).toLowerCase()}: ${said(was)} → ${said(then)}`),
        ),
      ),
    ),
    h("p", { class: "soft" }, "It would have answered: ", h("q", {}, would)),
  ];
}

/** @param {unknown} value */
function said(value) {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.join(", ") || "none";
  if (typeof value === "object" && value !== null) return Object.values(value).join(", ");
  return String(value ?? "none") || "none";
}

/** @param {Explanation} told */
function drawRunbooks({ runbooks }) {
  return h(
    "div",
    { class: "runbooks" },
    runbooks.map(({ action, text, clauses, read_at: at, works }) =>
      h(
        "div",
        { class: works ? "runbook is-working" : "runbook" },
        h(
          "p",
          { class: "runbook-of" },
          h("code", {}, action),
          works !== null && h("span", { class: works ? "tag tag-done" : "tag tag-gone" }, works ? "keeps it" : "destroys it"),
          h("span", { class: "soft" }, at === null ? " its runbook, not read" : ` its runbook, read at step ${at}`),
        ),
        h("blockquote", {}, marked(text, clauses)),
      ),
    ),
  );
}

/**
 * A text with its telling clauses marked.
 * @param {string} text
 * @param {string[]} clauses
 */
function marked(text, clauses) {
  /** @type {import("./dom.js").Child[]} */
  const parts = [];
  let rest = text;
  for (const clause of clauses) {
    const at = rest.indexOf(clause);
    if (at < 0) continue;
    parts.push(rest.slice(0, at), h("mark", {}, clause));
    rest = rest.slice(at + clause.length);
  }
  return [...parts, rest];
}

/** @param {Explanation} told */
function drawFacts({ facts }) {
  if (facts.length === 0) return null;
  return h(
    "table",
    { class: "told" },
    h("caption", { class: "unseen" }, "The facts that decided"),
    h(
      "tbody",
      {},
      facts.map(({ field, value, shown_at: at, by }) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, words(field)),
          h("td", {}, h("strong", {}, said(value))),
          h("td", { class: "soft" }, at === 0 ? "known from the start" : at !== null ? `known since step ${at}` : by ? ["one look away: ", h("code", {}, callText(by))] : ""),
        ),
      ),
    ),
  );
}

/**
 * @param {Explanation} told
 * @param {boolean} isLookalike
 */
function drawInstead({ instead, gone }, isLookalike) {
  if (instead === null) return h("p", { class: "soft" }, "The expert's way is told for the split train only: test is held out.");
  const acts = instead.map((call) => h("li", {}, h("code", {}, callText(call)), " ", h("span", { class: "soft" }, call.reasoning)));
  const isLeft = !isLookalike && instead.length <= 1;
  return [
    instead.length > 0 && h("ol", { class: "instead" }, acts),
    isLeft && h("p", {}, instead.length ? `The expert looks, and leaves ${gone.length === 1 ? "it" : "them"} alone.` : "The expert never calls this."),
  ];
}

/** @param {Explanation} told */
function drawQuestion({ question, asked }) {
  if (question) return [h("p", {}, h("code", {}, callText(question.call))), h("blockquote", {}, question.answer)];
  return [h("p", { class: "soft" }, "No question would have been granted. Just before it, the answer was:"), h("blockquote", {}, asked)];
}

/**
 * Strikes out in a drawn world what would be gone.
 * @param {Element} world
 * @param {Explanation} told
 */
export function strike(world, { gone }) {
  const lost = new Set(gone.map(({ path }) => JSON.stringify(path.filter((_key, index) => index % 2 === 1))));
  for (const thing of world.querySelectorAll("[data-thing]")) {
    if (lost.has(/** @type {HTMLElement} */ (thing).dataset.thing ?? "")) thing.classList.add("is-lost");
  }
  if (gone.some(({ field }) => field === "former")) world.querySelector(".upkeep h3")?.classList.add("is-lost");
}
