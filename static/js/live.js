/**
 * Following an episode that an agent plays elsewhere, over HTTP, WebSocket or MCP.
 *
 * Owns the polling. It shows what the agent has been shown, and nothing of risk before the end.
 */

import { explanation, lastAnswer, report } from "./api.js";
import { h, put, show } from "./dom.js";
import { goTo, to } from "./link.js";
import { notice } from "./notice.js";
import { createPlayer } from "./player.js";
import { callText } from "./text.js";
import { drawWorld } from "./worlds/world.js";

const EVERY_MS = 1000;

/** @type {import("./main.js").Mount} */
export async function mount(place, params) {
  const field = h("input", { id: "live-episode", required: true, autocomplete: "off", spellcheck: "false", value: params.get("episode") ?? "" });
  const form = h(
    "form",
    { class: "fields", on: { submit: follow } },
    h("div", { class: "field" }, h("label", { for: field.id }, "Episode id"), field),
    h("button", { type: "submit", class: "button" }, "Follow"),
  );
  const said = h("p", { class: "soft", role: "status" });
  const steps = h("ol", { class: "turns", reversed: true });
  const world = h("section", { class: "world", "aria-label": "What the agent knows" });
  const stage = h("div", { class: "game live" }, h("div", { class: "scene" }, world), h("div", { class: "panel" }, steps));
  const id = params.get("episode");
  put(place, h("h1", {}, "Live"), h("p", { class: "lead" }, "Give the id that /reset returned to an agent, and follow what it does."), form, said, id && stage);
  if (!id) return undefined;
  const episode = id;
  let isLeft = false;
  let taken = -1;
  /** @type {Record<string, any> | null} */
  let before = null;
  await look();
  return () => {
    isLeft = true;
  };

  /** @param {SubmitEvent} event */
  function follow(event) {
    event.preventDefault();
    goTo(to("live", { episode: field.value.trim() }));
  }

  async function look() {
    if (isLeft || !place.isConnected) return;
    try {
      const answer = await lastAnswer(episode);
      if (isLeft) return;
      if (answer.done) return await over();
      draw(answer);
      setTimeout(look, EVERY_MS);
    } catch (error) {
      show(said, notice(error, [{ label: "Try again", act: look }]));
    }
  }

  /** @param {import("./api.js").Answer} answer */
  function draw({ observation }) {
    const history = observation.action_history;
    if (history.length === taken) return;
    taken = history.length;
    said.textContent = `Step ${taken}, ${observation.steps_remaining} left. It is looked at every second.`;
    const task = taskOf(observation);
    show(world, h("h2", {}, "What the agent knows"), drawWorld(task, { state: observation.current_state, before, picked: null, onPick: null }));
    before = observation.current_state;
    show(
      steps,
      history
        .map(({ step, action, params: parameters, result }) => h("li", { class: "turn", value: step }, h("p", {}, h("code", {}, callText({ action_name: action, parameters }))), h("p", {}, result)))
        .reverse(),
    );
  }

  async function over() {
    const made = await report(episode);
    const player = createPlayer([{ title: "The agent", report: made, told: await explanation(episode, made) }], { at: made.steps.length });
    said.textContent = "The episode is over: here it is again, with what each step was.";
    stage.replaceWith(player.element);
  }
}

/**
 * The task of an observation, by what its state holds; it is drawn plainly where none is known.
 * @param {import("./api.js").Observation} observation
 */
function taskOf({ current_state: state }) {
  const known = { files: "easy", tables: "medium", components: "hard", patients: "medical", instances: "cloud_infra" };
  return Object.entries(known).find(([part]) => part in state)?.[1] ?? "";
}
