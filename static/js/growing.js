/**
 * A file that grows, read again and again: each look gives the lines that are new and complete.
 *
 * Owns how a file is read more than once, as far as this browser allows it. Must not know what a line tells.
 */

import { Unreadable } from "./notice.js";

/** Most bytes that are read at a time; what is left over comes with the next look. */
const MOST_BYTES = 16_000_000;
const NEWLINE = 10;
/** By so many bytes before the place where it was left, a file is told from another one of the same name. */
const KNOWN_BY = 512;

/** Whether this browser lets a page look into a file again after it has changed. */
export const canFollow = "showOpenFilePicker" in window;

export class Growing {
  /**
   * @param {string} name
   * @param {() => Promise<File>} open  Gives the file as it is now.
   */
  constructor(name, open) {
    this.name = name;
    this.open = open;
    this.position = 0;
    this.lines = 0;
    /** What stands before that place. */
    this.before = "";
  }

  /**
   * The lines that are new, each with its number. Half a line waits for its other half.
   * @returns {Promise<{isAnew: boolean, lines: [number: number, text: string][]}>}  `isAnew`: it is another file than it was.
   */
  async look() {
    /** @type {Uint8Array} */
    let bytes;
    let isAnew = false;
    try {
      const file = await this.open();
      const before = (/** @type {number} */ at) => file.slice(Math.max(0, at - KNOWN_BY), at).text();
      isAnew = file.size < this.position || (await before(this.position)) !== this.before;
      if (isAnew) this.position = this.lines = 0;
      bytes = new Uint8Array(await file.slice(this.position, this.position + MOST_BYTES).arrayBuffer());
      this.position += bytes.lastIndexOf(NEWLINE) + 1;
      this.before = await before(this.position);
    } catch {
      throw new Unreadable(`This browser lets the page read ${this.name} no more. Choose it again, or follow the run in a terminal: safeact replay --follow DIR.`);
    }
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    if (end === 0 && bytes.length === MOST_BYTES) throw new Unreadable(`${this.name} has a line of more than ${MOST_BYTES / 1e6} MB, which is not followed.`);
    const texts = new TextDecoder().decode(bytes.subarray(0, end)).split("\n").slice(0, -1);
    return { isAnew, lines: texts.map((text) => [++this.lines, text]) };
  }
}

/** Lets somebody choose a file to follow; `null` if they choose none. */
export async function chosen() {
  try {
    // @ts-ignore: not all browsers have it, as `canFollow` says.
    const [handle] = await window.showOpenFilePicker({ types: [{ description: "JSON lines", accept: { "application/json": [".jsonl"] } }] });
    return ofHandle(handle);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return null;
    throw error;
  }
}

/**
 * What was dropped: the file itself where the browser hands it out, or else what it held then.
 * @param {DataTransfer} data
 */
export async function dropped(data) {
  const [item] = data.items;
  const file = data.files[0];
  // @ts-ignore: as above. It has to be asked for before anything is waited for.
  const handle = await item?.getAsFileSystemHandle?.();
  if (handle?.kind === "file") return ofHandle(handle);
  return file ? ofFile(file) : null;
}

/** @param {{name: string, getFile: () => Promise<File>}} handle */
function ofHandle(handle) {
  return new Growing(handle.name, () => handle.getFile());
}

/**
 * A file that was chosen the plain way: some browsers read it again, others only as it was.
 * @param {File} file
 */
export function ofFile(file) {
  return new Growing(file.name, async () => file);
}
