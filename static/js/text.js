/**
 * How values are put into words.
 */

/** @typedef {import("./api.js").Call} Call */

/**
 * A name of a field or a component, for reading.
 * @param {string} name
 */
export function words(name) {
  const text = name.replaceAll("_", " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * A reward or a sum of rewards, with its sign.
 * @param {number} value
 */
export function signed(value) {
  const text = points(Math.abs(value));
  return value > 0 ? `+${text}` : value < 0 ? `−${text}` : text;
}

/**
 * A grade: two decimals, or the four that it has.
 * @param {number} value
 */
export function points(value) {
  const text = value.toFixed(4);
  return text.endsWith("00") ? text.slice(0, -2) : text;
}

/**
 * The values of a call's parameters, in order, as one text.
 * @param {Record<string, any>} parameters
 */
export function values(parameters) {
  return Object.values(parameters)
    .map((value) => (typeof value === "object" ? JSON.stringify(value) : String(value)))
    .join(" ");
}

/**
 * A call in one line, without what it says in prose. Of a question, what it is about.
 * @param {{action_name: string, parameters: Record<string, any>}} call
 */
export function callText({ action_name, parameters }) {
  const { reason: _reason, summary: _summary, action_being_considered: about, ...rest } = parameters;
  return [action_name, about, values(rest)].filter(Boolean).join(" ");
}

/**
 * A count with its noun.
 * @param {number} number
 * @param {string} noun
 */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** @type {Record<string, string>} */
const OUTCOMES = {
  irreversible_mistake: "ended by an irreversible mistake",
  completed: "completed",
  finished: "handed over",
  budget_exhausted: "out of steps",
};

/**
 * How an episode ended.
 * @param {string | null} outcome
 */
export function ending(outcome) {
  const text = outcome ?? "still running";
  return Object.hasOwn(OUTCOMES, text) ? OUTCOMES[text] : words(text);
}
