/**
 * Following what is played elsewhere: an episode of this server, or the run of a model from its file.
 *
 * Owns the choice of what is followed, and the clock. What is looked at each time, others know.
 */

import { h, put, show } from "./dom.js";
import { canFollow, chosen, dropped, ofFile } from "./growing.js";
import { goTo, to } from "./link.js";
import { followEpisode } from "./liveepisode.js";
import { followRun } from "./liverun.js";
import { notice } from "./notice.js";

const EVERY_MS = 1000;

/**
 * Looks once. Whether there is more to come.
 * @typedef {() => Promise<boolean>} Look
 */

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  const id = params.get("episode");
  const field = h("input", { id: "live-episode", required: true, autocomplete: "off", spellcheck: "false", value: id ?? "" });
  const input = h("input", { id: "live-file", type: "file", accept: ".jsonl", on: { change: () => input.files?.[0] && start(ofFile(input.files[0])) } });
  const zone = h(
    "div",
    { class: "drop", on: { dragover: over, dragleave: () => zone.classList.remove("is-over"), drop } },
    h("strong", {}, "The run of a model"),
    h("span", { class: "soft" }, "Drop steps.jsonl or episodes.jsonl of a run here: inference.py writes them to the folder of --out, a line as soon as there is one. It stays in this browser; only the calls are sent."),
    canFollow
      ? h("button", { type: "button", class: "quiet-button", on: { click: pick } }, "Choose its file")
      : [h("label", { for: input.id }, "Its file, as it is now"), input, h("span", { class: "soft" }, "This browser may not let a page read a file again. In a terminal: ", h("code", {}, "safeact replay --follow DIR"))],
  );
  const ways = h(
    "details",
    { class: "fold", open: id === null },
    h("summary", {}, "What to follow"),
    h("p", { class: "lead" }, "An agent plays elsewhere; here is what it does, why it says it does it, and what it knows. What was final is told after the end."),
    h(
      "div",
      { class: "live-ways" },
      h(
        "form",
        { class: "drop", on: { submit: follow } },
        h("strong", {}, "An episode of this server"),
        h("span", { class: "soft" }, "Over HTTP, WebSocket or MCP. It takes the id that /reset returned to you, and the server's token if it has one: an agent's key does not open it."),
        h("div", { class: "field" }, h("label", { for: field.id }, "Episode id"), field),
        h("button", { type: "submit", class: "button" }, "Follow"),
      ),
      zone,
    ),
  );
  const said = h("p", { class: "soft", role: "status" });
  const stage = h("div", { class: "stage" });
  put(place, h("div", { class: id === null ? "view-head" : "view-head is-chosen-already" }, h("h1", {}, "Live"), ways), said, stage);
  let latest = 0;
  if (id !== null) watch(followEpisode(id, stage, said));
  return () => {
    latest += 1;
  };

  /** @param {Look} look */
  function watch(look) {
    const mine = ++latest;
    again();

    async function again() {
      if (mine !== latest || !place.isConnected) return;
      try {
        if ((await look()) && mine === latest) setTimeout(again, EVERY_MS);
      } catch (error) {
        if (mine === latest) show(said, notice(error, [{ label: "Try again", act: again }]));
      }
    }
  }

  /** @param {import("./growing.js").Growing} file */
  function start(file) {
    ways.open = false;
    show(said);
    show(stage);
    watch(followRun(file, stage, said));
  }

  async function pick() {
    try {
      const file = await chosen();
      if (file) start(file);
    } catch (error) {
      show(said, notice(error, []));
    }
  }

  /** @param {SubmitEvent} event */
  function follow(event) {
    event.preventDefault();
    goTo(to("live", { episode: field.value.trim() }));
  }

  /** @param {DragEvent} event */
  function over(event) {
    event.preventDefault();
    zone.classList.add("is-over");
  }

  /** @param {DragEvent} event */
  async function drop(event) {
    event.preventDefault();
    zone.classList.remove("is-over");
    const file = event.dataTransfer && (await dropped(event.dataTransfer));
    if (file) start(file);
  }
}
