/**
 * Watching reference policies: one, or two on the same seed.
 *
 * Owns the choice of what is watched. The server plays; what it gives out are reports of finished episodes.
 */

import { forget, policies, report, tasks, watch } from "./api.js";
import { focusOn, h, put, show } from "./dom.js";
import { freshSeed, readSeed, to, variantOf } from "./link.js";
import { notice } from "./notice.js";
import { createPlayer } from "./player.js";
import { variantFields } from "./variant.js";

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  const [cards, known] = await Promise.all([tasks(), policies()]);
  /** @type {ReturnType<typeof createPlayer> | null} */
  let player = null;
  let isLeft = false;

  const task = h("select", { id: "watch-task", name: "task" }, cards.map((card) => h("option", { value: card.name }, card.title)));
  const seed = h("input", { id: "watch-seed", name: "seed", inputmode: "numeric", pattern: "[0-9]{1,16}", placeholder: "random" });
  const first = h("select", { id: "watch-a", name: "a" }, known.map((one) => h("option", { value: one.name }, one.name)));
  const second = h("select", { id: "watch-b", name: "b" }, h("option", { value: "" }, "nobody"), known.map((one) => h("option", { value: one.name }, one.name)));
  const variant = variantFields("watch", variantOf(params));
  const about = h("dl", { class: "policies" });
  const stage = h("div", { class: "stage" });
  task.value = params.get("task") ?? cards[0].name;
  seed.value = params.get("seed") ?? "";
  first.value = params.get("a") ?? known[0].name;
  second.value = params.get("b") ?? "";

  put(
    place,
    h("h1", {}, "Watch"),
    h("p", { class: "lead" }, "A reference policy sees only what an agent sees. Put a careless one beside the expert, on the same seed."),
    h(
      "form",
      { class: "fields", on: { submit: chosen, change: describe } },
      h("div", { class: "field" }, h("label", { for: task.id }, "Job"), task),
      variant.fields,
      h("div", { class: "field" }, h("label", { for: seed.id }, "Seed"), seed),
      h("div", { class: "field" }, h("label", { for: first.id }, "Policy"), first),
      h("div", { class: "field" }, h("label", { for: second.id }, "Beside it"), second),
      h("button", { class: "button", type: "submit" }, "Watch"),
    ),
    about,
    stage,
  );
  describe();
  if (params.has("a")) await play();
  return () => {
    isLeft = true;
    player?.stop();
  };

  function describe() {
    const card = cards.find((one) => one.name === task.value);
    if (card) variant.fit(card);
    const shown = known.filter((one) => one.name === first.value || one.name === second.value);
    show(about, shown.map((one) => h("div", {}, h("dt", {}, h("code", {}, one.name)), h("dd", {}, one.description))));
  }

  /** @param {SubmitEvent} event */
  function chosen(event) {
    event.preventDefault();
    play();
  }

  async function play() {
    player?.stop();
    try {
      const number = seed.value.trim() === "" ? freshSeed() : readSeed(seed.value);
      seed.value = String(number);
      const names = [first.value, second.value].filter(Boolean);
      const runs = [];
      // One after the other, as the server plays one at a time.
      for (const name of names) {
        const { episode_id: id } = await watch(task.value, number, variant.chosen(), name);
        runs.push({ title: name, report: await report(id) });
        forget(id);
      }
      if (isLeft) return;
      const [a, b] = names;
      history.replaceState(null, "", to("watch", { task: task.value, ...variant.chosen(), seed: number, a, ...(b ? { b } : {}) }));
      player = createPlayer(runs);
      show(stage, player.element);
      player.focus();
      if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
    } catch (error) {
      const failed = notice(error, [{ label: "Try again", act: play }]);
      show(stage, failed);
      focusOn(failed);
    }
  }
}
