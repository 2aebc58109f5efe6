/**
 * Watching reference policies: one, or two on the same seed.
 *
 * Owns the choice of what is watched. The server plays; what it gives out are reports of finished episodes.
 */

import { explanation, forget, policies, report, taskCard, tasks, watch } from "./api.js";
import { focusOn, h, put, show } from "./dom.js";
import { freshSeed, goTo, keepStep, readSeed, stepOf, to, variantOf } from "./link.js";
import { notice, Unreadable } from "./notice.js";
import { createPlayer } from "./player.js";
import { variantFields, variantText } from "./variant.js";

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  const [cards, known] = await Promise.all([tasks(), policies()]);
  /** @type {ReturnType<typeof createPlayer> | null} */
  let player = null;
  let isLeft = false;

  // A select of which nothing is chosen would ask for nothing.
  if (params.has("task")) await taskCard(String(params.get("task")));
  for (const name of [params.get("a"), params.get("b")]) {
    if (name && !known.some((one) => one.name === name)) throw new Unreadable(`This server has no policy ${name}; it has ${known.map((one) => one.name).join(", ")}.`);
  }
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

  const line = h("summary", {}, "What to watch");
  const fold = h(
    "details",
    { class: "fold", open: !params.has("a") },
    line,
    h("p", { class: "lead" }, "A reference policy sees only what an agent sees. Put a careless one beside the expert, on the same seed. Or ", h("a", { href: "#/live" }, "follow an agent live"), "."),
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
  );
  put(place, h("div", { class: params.has("a") ? "view-head is-chosen-already" : "view-head" }, h("h1", {}, "Watch"), fold), stage);
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
    try {
      const number = seed.value.trim() === "" ? freshSeed() : readSeed(seed.value);
      const [a, b] = [first.value, second.value];
      goTo(to("watch", { task: task.value, ...variant.chosen(), seed: number, a, ...(b ? { b } : {}) }));
    } catch (error) {
      show(stage, notice(error, []));
    }
  }

  async function play() {
    player?.stop();
    try {
      const number = seed.value.trim() === "" ? freshSeed() : readSeed(seed.value);
      const scenario = { task: task.value, ...variant.chosen(), seed: number };
      const names = [first.value, second.value].filter(Boolean);
      const [a, b] = names;
      line.textContent = `${cards.find((card) => card.name === task.value)?.title}${variantText(scenario)}, seed ${number}: ${names.join(" beside ")}`;
      show(stage, h("p", { role: "status" }, "They play."));
      const runs = [];
      // One after the other, as the server plays one at a time.
      for (const name of names) {
        const { episode_id: id } = await watch(task.value, number, variant.chosen(), name);
        const made = await report(id);
        runs.push({ title: name, report: made, told: await explanation(id, made) });
        forget(id);
      }
      if (isLeft) return;
      if (!params.has("seed")) history.replaceState(null, "", to("watch", { ...scenario, a, ...(b ? { b } : {}) }));
      const at = stepOf(params);
      player = createPlayer(runs, { at, onStep: keepStep });
      show(stage, player.element);
      player.focus();
      if (at === 0 && !window.matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
    } catch (error) {
      const failed = notice(error, [{ label: "Try again", act: play }]);
      show(stage, failed);
      focusOn(failed);
    }
  }
}
