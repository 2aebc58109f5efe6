/**
 * Building elements.
 *
 * Text goes in as text nodes only: nothing that a server or a file says can become markup.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Child | Children[]} Children */
/**
 * Attributes by name. `on` holds listeners by event, `vars` CSS custom properties by name.
 * @typedef {Record<string, unknown> & {on?: Record<string, (event: any) => void>, vars?: Record<string, string | number>}} Props
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {HTMLElement | SVGElement} element
 * @param {Props} props
 * @param {Children[]} children
 */
function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false || name === "on" || name === "vars") continue;
    element.setAttribute(name, value === true ? "" : name.startsWith("aria-") || name === "title" ? plain(value) : String(value));
  }
  for (const [event, listener] of Object.entries(props.on ?? {})) element.addEventListener(event, listener);
  // Through the object model, which the page's policy allows; a style attribute it would not.
  for (const [name, value] of Object.entries(props.vars ?? {})) element.style.setProperty(name, String(value));
  put(element, ...children);
}

/**
 * An HTML element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props} [props]
 * @param {...Children} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, props, children);
  return element;
}

/**
 * An SVG element.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Props} [props]
 * @param {...Children} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, props, children);
  return element;
}

/** Marks that turn the direction of the text after them, by which a name can pass for another one. */
const TURNING = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/g;

/**
 * A text in which such marks are seen and do nothing.
 * @param {unknown} text
 */
export function plain(text) {
  return String(text).replace(TURNING, (mark) => `[U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

/**
 * Appends what is there, and leaves out what is not.
 * @param {Element} parent
 * @param {...Children} children
 */
export function put(parent, ...children) {
  for (const child of children) {
    if (Array.isArray(child)) put(parent, ...child);
    else if (child !== null && child !== undefined && child !== false) parent.append(child instanceof Node ? child : plain(child));
  }
}

/**
 * Replaces what an element holds.
 * @param {Element} parent
 * @param {...Children} children
 */
export function show(parent, ...children) {
  parent.replaceChildren();
  put(parent, ...children);
}

/**
 * Text that only a screen reader tells.
 * @param {string} text
 */
export function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

/**
 * Moves the focus to an element that takes none by itself, such as a heading.
 * @param {HTMLElement} element
 */
export function focusOn(element) {
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
}
