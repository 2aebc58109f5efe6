/**
 * The choice of an episode: task, split, level, framing and seed.
 */

import { tasks } from "./api.js";
import { mountDemo } from "./demo.js";
import { h, put } from "./dom.js";
import { freshSeed, readSeed, to } from "./link.js";
import { ownGames } from "./store.js";
import { count } from "./text.js";
import { DEFAULT, variantFields } from "./variant.js";

/** @type {import("./main.js").Mount} */
export async function mount(place) {
  const stop = mountDemo(/** @type {HTMLElement} */ (document.getElementById("demo")));
  const cards = await tasks().catch((error) => {
    stop();
    throw error;
  });
  const seed = h("input", { id: "seed", name: "seed", inputmode: "numeric", pattern: "[0-9]{1,16}", placeholder: "random" });
  const variant = variantFields("lobby", ownGames() === null ? { ...DEFAULT, level: 1 } : DEFAULT);
  const form = h(
    "form",
    { class: "lobby", on: { submit: start, change: fit } },
    h("h2", {}, "Choose a job"),
    h(
      "fieldset",
      { class: "jobs" },
      h("legend", { class: "unseen" }, "Job"),
      cards.map((card, index) =>
        h(
          "label",
          { class: "job" },
          h("input", { type: "radio", name: "task", value: card.name, checked: index === 0 }),
          h("span", { class: "job-title" }, card.title),
          h("span", { class: "job-text" }, card.description),
          h("span", { class: "job-size" }, `${card.difficulty} · ${count(card.max_steps, "step")}`),
        ),
      ),
    ),
    h(
      "div",
      { class: "fields" },
      h(
        "fieldset",
        { class: "choice" },
        h("legend", {}, "Split"),
        h("label", {}, h("input", { type: "radio", name: "split", value: "train", checked: true }), " train"),
        h("label", {}, h("input", { type: "radio", name: "split", value: "test" }), " test (held out: other names and wordings)"),
      ),
      variant.fields,
      h("div", { class: "field" }, h("label", { for: "seed" }, "Seed"), seed),
      h("button", { class: "button", type: "submit" }, "Start"),
    ),
  );
  put(place, form);
  fit();
  return stop;

  /** Offers what the chosen job has. */
  function fit() {
    const card = cards.find((one) => one.name === new FormData(form).get("task"));
    if (card) variant.fit(card);
  }

  /** @param {SubmitEvent} event */
  function start(event) {
    event.preventDefault();
    const data = new FormData(form);
    const text = String(data.get("seed") ?? "").trim();
    const scenario = { task: String(data.get("task")), split: String(data.get("split")), ...variant.chosen() };
    location.hash = to("play", { ...scenario, seed: text === "" ? freshSeed() : readSeed(text) });
  }
}
