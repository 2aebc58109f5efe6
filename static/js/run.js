/**
 * The run of a model, from the lines of its file: which episodes there are, and what was called in each.
 *
 * Owns what a line tells: an event of `steps.jsonl`, or a whole record. What came of the calls it does not believe.
 */

import { readCalls } from "./link.js";
import { Told, Unreadable } from "./notice.js";
import { readRecord } from "./records.js";

/** @typedef {import("./records.js").Recording} Recording */
/** @typedef {Recording & {isOver: boolean, isTorn?: boolean, left?: number}} Followed  An episode of the run, as far as it has been played, with the steps left where they are known; torn if a step is missing. */

export class Run {
  constructor() {
    /** @type {Followed[]} */
    this.episodes = [];
    /** How many lines cannot be read, and a sentence on the first. */
    this.unread = { count: 0, first: "" };
    this.isOver = false;
    /** @type {Map<string, Followed>} */
    this.open = new Map();
  }

  /**
   * @param {number} number
   * @param {string} text
   */
  read(number, text) {
    if (text.trim() === "") return;
    try {
      this.take(parsed(text));
    } catch (error) {
      if (!(error instanceof Told)) throw error;
      this.unread.count += 1;
      this.unread.first ||= `Line ${number}: ${error.message}`;
    }
  }

  /** @param {any} line */
  take(line) {
    if (typeof line !== "object" || line === null) throw new Unreadable("This is not a JSON object.");
    const { event } = line;
    if (event === undefined) {
      this.episodes.push({ ...readRecord(line), isOver: true });
      return;
    }
    if (event === "run" || event === "over") {
      this.isOver = event === "over";
      return;
    }
    if (!["begun", "step", "ended"].includes(event)) throw new Unreadable("This is no event of a run.");
    const key = JSON.stringify(["policy", "task", "split", "seed", "level", "framing", "attempt"].map((name) => line[name]));
    const call = event === "step" ? readCalls([line.call])[0] : null;
    if (event === "begun" || !this.open.has(key)) this.begin(key, line);
    const episode = /** @type {Followed} */ (this.open.get(key));
    if (call && line.step !== episode.calls.length + 1) {
      // Without the steps between, the rest would be another episode.
      episode.isTorn = true;
      throw new Unreadable(`Step ${line.step} follows step ${episode.calls.length}: what came between is not there.`);
    }
    if (call) episode.calls.push(call);
    if (event === "ended") {
      episode.isOver = true;
      // What the file says came of it is compared with the replay.
      episode.claims = line.record ?? {};
      this.open.delete(key);
    }
  }

  /**
   * @param {string} key
   * @param {any} line
   */
  begin(key, line) {
    const episode = { ...readRecord({ ...line, calls: [] }), isOver: false };
    this.open.set(key, episode);
    this.episodes.push(episode);
  }
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Unreadable("This is not JSON.");
  }
}
