/**
 * Drawings of recorded numbers, as SVG in the page, so that they follow light and dark.
 *
 * Owns scales and marks. Must not know where the numbers come from.
 */

import { h, svg } from "./dom.js";

/** @typedef {[name: string, value: number, low: number, high: number]} Bar */
/** @typedef {{title: string, end: number | null, rows: Bar[]}} Bars */
/** @typedef {{title: string, lines: {name: string, points: [calls: number, value: number, low: number, high: number][]}[]}} Curves */
/** @typedef {{name: string, bins: [said: number, true_: number, calls: number][], isOwn?: boolean}} Calibration */

const NAMES = 104;
const ROW = 17;
const WIDE = 300;

/**
 * Bars with their 95% intervals, one below the other.
 * @param {Bars} bars
 */
export function drawBars({ title, end, rows }) {
  const most = end ?? (Math.max(...rows.map(([, , , high]) => high)) || 1);
  const x = (/** @type {number} */ value) => NAMES + (Math.min(value, most) / most) * (WIDE - NAMES - 42);
  const parts = rows.map(([name, value, low, high], index) => {
    const y = index * ROW;
    return [
      svg("text", { class: "plot-name", x: NAMES - 6, y: y + 12, "text-anchor": "end" }, name.length > 14 ? `${name.slice(0, 13)}…` : name),
      svg("rect", { class: "plot-bar", x: NAMES, y: y + 3, width: x(value) - NAMES, height: ROW - 6 }, svg("title", {}, `${name}: ${value} [${low}, ${high}]`)),
      high > low && svg("path", { class: "plot-interval", d: `M ${x(low)} ${y + ROW / 2} H ${x(high)}` }),
      svg("text", { class: "plot-value", x: Math.max(x(value), x(high)) + 4, y: y + 12 }, value.toFixed(2)),
    ];
  });
  return figure(title, svg("svg", { viewBox: `0 0 ${WIDE} ${rows.length * ROW + 4}`, role: "img", "aria-label": `${title}: ${rows.map(([name, value]) => `${name} ${value.toFixed(2)}`).join(", ")}` }, parts));
}

const LEFT = 30;
const HIGH = 160;

/**
 * What was learned, by calls made: the mean over runs, and its 95% interval as a band.
 * @param {Curves} curves
 */
export function drawCurves({ title, lines }) {
  const most = Math.max(...lines.flatMap(({ points }) => points.map(([calls]) => calls)), 1);
  const x = (/** @type {number} */ calls) => LEFT + (calls / most) * (WIDE - LEFT - 8);
  const y = (/** @type {number} */ value) => HIGH - 24 - value * (HIGH - 34);
  const to = (/** @type {[number, number][]} */ points) => points.map(([calls, value], index) => `${index ? "L" : "M"} ${x(calls).toFixed(1)} ${y(value).toFixed(1)}`).join(" ");
  const parts = lines.map(({ name, points }, index) => [
    svg("path", { class: `plot-band is-${index}`, d: `${to(points.map(([calls, , low]) => [calls, low]))} ${to(points.map(([calls, , , high]) => /** @type {[number, number]} */ ([calls, high])).reverse()).replace("M", "L")} Z` }),
    svg("path", { class: `plot-line is-${index}`, d: to(points.map(([calls, value]) => [calls, value])) }, svg("title", {}, name)),
  ]);
  return figure(
    title,
    svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title}: ${lines.map(({ name, points }) => `${name} ends at ${points.at(-1)?.[1].toFixed(2)}`).join(", ")}` }, axes(x(0), x(most), y, "calls"), parts),
    h("p", { class: "plot-key" }, lines.map(({ name }, index) => h("span", { class: `plot-mark is-${index}` }, name))),
  );
}

/**
 * Called against was: a point is what was said, and how often it was so. On the line, it was as it was said.
 * @param {Calibration[]} all
 */
export function drawCalibration(all) {
  const size = 260;
  const x = (/** @type {number} */ share) => LEFT + share * (size - LEFT - 14);
  const y = (/** @type {number} */ share) => size - 28 - share * (size - 44);
  const title = "Said that it could be taken back, and could";
  const parts = all.map(({ name, bins, isOwn }, index) => {
    const most = Math.max(...bins.map(([, , calls]) => calls));
    const kind = isOwn ? "is-you" : `is-${index}`;
    return [
      svg("path", { class: `plot-line ${kind}`, d: bins.map(([said, was], at) => `${at ? "L" : "M"} ${x(said)} ${y(was)}`).join(" ") }),
      bins.map(([said, was, calls]) => svg("circle", { class: `plot-dot ${kind}`, cx: x(said), cy: y(was), r: 3 + 5 * Math.sqrt(calls / most) }, svg("title", {}, `${name}: said ${said}, was ${was}, ${calls} calls`))),
    ];
  });
  return figure(
    title,
    svg("svg", { class: "plot-square", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `${title}: ${all.map(({ name, bins }) => `${name} ${bins.map(([said, was]) => `${said} to ${was.toFixed(2)}`).join(", ")}`).join("; ") || "nothing yet"}` }, axes(x(0), x(1), y, "said"), svg("path", { class: "plot-right", d: `M ${x(0)} ${y(0)} L ${x(1)} ${y(1)}` }), parts),
    h("p", { class: "plot-key" }, all.map(({ name, isOwn }, index) => h("span", { class: `plot-mark ${isOwn ? "is-you" : `is-${index}`}` }, name))),
  );
}

/**
 * @param {number} left
 * @param {number} right
 * @param {(value: number) => number} y
 * @param {string} text  Below the horizontal one.
 */
function axes(left, right, y, text) {
  return [
    svg("path", { class: "plot-axis", d: `M ${left} ${y(1)} V ${y(0)} H ${right}` }),
    [0, 0.5, 1].map((at) => svg("text", { class: "plot-value", x: left - 5, y: y(at) + 4, "text-anchor": "end" }, at)),
    svg("text", { class: "plot-value", x: right, y: y(0) + 16, "text-anchor": "end" }, text),
  ];
}

/**
 * @param {string} title
 * @param {...import("./dom.js").Children} parts
 */
function figure(title, ...parts) {
  return h("figure", { class: "plot" }, h("figcaption", {}, title), parts);
}
