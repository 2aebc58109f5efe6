/**
 * Replaying trajectories: from a file, or from a link.
 *
 * Owns the choice of what is replayed, and what its address is.
 */

import { claim, label, played } from "./again.js";
import { recordedFile, taskCard } from "./api.js";
import { focusOn, h, put, show } from "./dom.js";
import { callsOf, goTo, keepStep, readScenario, stepOf, to } from "./link.js";
import { notice, Unreadable } from "./notice.js";
import { createPlayer } from "./player.js";
import { readFile, readText } from "./records.js";
import { keepFile, keptFile } from "./store.js";
import { count } from "./text.js";
import { variantText } from "./variant.js";

/** @typedef {import("./records.js").Recording} Recording */

/** Most recordings of a file that are listed at a time. */
const MOST_LISTED = 100;

/**
 * The file that was opened last: the address names it, but cannot hold it.
 * @type {import("./records.js").Opened | null}
 */
let opened = null;

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  /** @type {ReturnType<typeof createPlayer> | null} */
  let player = null;
  let latest = 0;

  const input = h("input", { id: "file", type: "file", accept: ".jsonl,.json,.gz", on: { change: () => input.files?.[0] && open(input.files[0]) } });
  const zone = h(
    "label",
    { class: "drop", for: input.id, on: { dragover: over, dragleave: () => zone.classList.remove("is-over"), drop: dropped } },
    h("strong", {}, "Drop a trajectory file here, or choose one"),
    h("span", { class: "soft" }, "JSON lines from safeact eval --out or inference.py, packed with gzip or not. It stays in this browser; only the calls are sent."),
    input,
  );
  const list = h("div", { class: "recordings" });
  const stage = h("div", { class: "stage" });
  const line = h("summary", {}, "What to replay");
  const isGiven = ["calls", "file", "recorded"].some((name) => params.has(name));
  const fold = h(
    "details",
    { class: "fold", open: !isGiven },
    line,
    h("p", { class: "lead" }, "An episode is its task, split, level, framing, seed and calls. Whoever played it, the server plays it again and tells what each step was."),
    zone,
  );
  put(place, h("div", { class: isGiven ? "view-head is-chosen-already" : "view-head" }, h("h1", {}, "Replay"), fold), list, stage);
  const calls = params.get("calls");
  if (calls !== null) await follow(calls);
  else if (params.has("recorded")) await shipped(String(params.get("recorded")));
  else if (params.has("file")) await again(String(params.get("file")));
  return () => {
    latest += 1;
    player?.stop();
  };

  /** @param {string} name  Of a player whose episodes come with the page. */
  async function shipped(name) {
    try {
      const index = Number(params.get("episode"));
      const names = [name, params.get("beside")].filter((one) => one !== null);
      const files = await Promise.all(names.map(async (one) => readFile(await recordedFile(one))));
      const chosen = files.map((file) => file.recordings[index]);
      if (chosen.some((one) => one === undefined)) throw new Unreadable(`There is no recorded episode ${index} of ${names.join(" and ")}.`);
      show(line, chosen.map(label).join(", beside "));
      await play(chosen[0], chosen[1]);
    } catch (error) {
      show(stage, notice(error, []));
    }
  }

  /** @param {string} name  Of a file that was opened before. */
  async function again(name) {
    try {
      const found = opened?.name === name ? null : keptFile();
      if (found?.name === name) opened = readText(found.name, found.text);
      if (opened?.name !== name) throw new Unreadable(`This tab does not have ${name} any more. Choose the file again.`);
    } catch (error) {
      fold.open = true;
      show(list, notice(error, []));
      return;
    }
    show(line, `${name}: another file`);
    drawList(opened.name, opened.recordings, opened.skipped);
    const episode = params.get("episode");
    const recording = episode === null ? null : opened.recordings[Number(episode)];
    if (recording) await play(recording);
    else if (episode !== null) show(stage, notice(new Unreadable(`There is no recording ${episode} in ${name}.`), []));
  }

  /** @param {string} packed  The calls of a link. */
  async function follow(packed) {
    try {
      const scenario = readScenario(params);
      await play({ who: "The episode of the link", scenario, calls: await callsOf(packed), attempt: null, messages: [], claims: {} });
    } catch (error) {
      show(stage, notice(error, []));
    }
  }

  /** @param {DragEvent} event */
  function over(event) {
    event.preventDefault();
    zone.classList.add("is-over");
  }

  /** @param {DragEvent} event */
  function dropped(event) {
    event.preventDefault();
    zone.classList.remove("is-over");
    const file = event.dataTransfer?.files[0];
    if (file) open(file);
  }

  /** @param {File} file */
  async function open(file) {
    latest += 1;
    player?.stop();
    show(stage);
    show(list, h("p", { role: "status" }, `Reading ${file.name}.`));
    try {
      opened = await readFile(file);
      keepFile(opened.name, opened.text);
      goTo(to("replay", { file: opened.name, ...(opened.recordings.length === 1 ? { episode: 0 } : {}) }));
    } catch (error) {
      show(list, notice(error, []));
    }
    // So that the same file can be chosen again.
    input.value = "";
  }

  /**
   * @param {string} name
   * @param {Recording[]} recordings
   * @param {string[]} skipped
   */
  function drawList(name, recordings, skipped) {
    const wanted = h("input", { id: "wanted", type: "search", placeholder: "such as expert easy test", on: { input: draw } });
    const isChosen = params.has("episode");
    const rows = h("ul", { class: "recording-list" });
    const said = h("p", { class: "soft", role: "status" });
    const heading = h("h2", {}, `${count(recordings.length, "recording")} in ${name}`);
    show(
      list,
      isChosen ? h("details", { class: "fold" }, h("summary", {}, heading), rows) : heading,
      skipped.length > 0 && h("p", { class: "soft" }, `${count(skipped.length, "line")} cannot be replayed. ${skipped[0]}`),
      !isChosen && recordings.length > 1 && h("div", { class: "field" }, h("label", { for: wanted.id }, "Show only"), wanted),
      !isChosen && said,
      !isChosen && rows,
    );
    draw();

    function draw() {
      const terms = wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = recordings.filter((one) => terms.every((term) => label(one).toLowerCase().includes(term)));
      said.textContent = found.length > MOST_LISTED ? `The first ${MOST_LISTED} of ${found.length} are listed.` : "";
      show(
        rows,
        found.slice(0, MOST_LISTED).map((one) =>
          h("li", {}, h("button", { type: "button", class: "recording", on: { click: () => goTo(to("replay", { file: name, episode: recordings.indexOf(one) })) } }, h("span", {}, label(one)), h("span", { class: "soft" }, claim(one)))),
        ),
      );
    }
  }

  /**
   * @param {Recording} recording
   * @param {Recording} [beside]  On the same scenario.
   */
  async function play(recording, beside) {
    const mine = ++latest;
    player?.stop();
    const { scenario } = recording;
    const both = beside ? [recording, beside] : [recording];
    const progress = h("progress", { id: "replaying", max: both.reduce((sum, one) => sum + one.calls.length, 0), value: 0 });
    show(stage, h("p", { class: "field-row", role: "status" }, h("label", { for: progress.id }, `Replaying ${count(progress.max, "call")}`), progress));
    try {
      const card = await taskCard(scenario.task);
      const made = [];
      for (const one of both) {
        const found = await played(one, card, progress, () => mine !== latest);
        if (found === null) return;
        made.push(found);
      }
      player = createPlayer(made.map(({ run }) => run), { at: stepOf(params), onStep: keepStep });
      const said = made.flatMap((one) => one.said);
      const facts = `${card.title}, ${scenario.split}${variantText(scenario)}, seed ${scenario.seed}`;
      const agreed = "score" in recording.claims ? "The replay gives what the file says." : "";
      show(
        stage,
        h("p", { class: "soft" }, facts, !said.length && agreed && h("span", { class: "agreed" }, agreed)),
        said.length > 0 && h("ul", { class: "notice", "aria-label": "Where the file and the replay differ" }, said.map((text) => h("li", {}, text))),
        player.element,
      );
      player.focus();
    } catch (error) {
      if (mine !== latest) return;
      const failed = notice(error, [{ label: "Try again", act: () => play(recording, beside) }]);
      show(stage, failed);
      focusOn(failed);
    }
  }
}
