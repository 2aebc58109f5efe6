"""Chooses the episodes that clients are compared on, and compares. Must not know clients or servers."""

from collections.abc import Sequence
from typing import Any

from safeact_env.audit.determinism import canonical
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import OFFICIAL, get_task

JSON = dict[str, Any]

PLAYS: tuple[tuple[str, str, Split, int], ...] = (
    *((task, "expert", "test", 5) for task in OFFICIAL),
    *((task, "guesser", "train", 6) for task in OFFICIAL),
    ("easy", "escalate_all", "test", 0),
)
"""Task, policy, split, seed. They end by completion, by a mistake, and by the budget."""

ODD = Call("no_such_action", {"päth": "grüße/\u3042/🧷", "n": [1, 2.5, None, True]}, "“Odd” but well-formed.")
"""The first step of every episode: it costs a penalty, and the history repeats all of it."""


def shown_by(episode: Episode[Any]) -> JSON:
    """What the engine shows now, in the form that clients record."""
    observation = episode.observation()
    return {"reward": observation.pop("reward"), "done": observation.pop("done"), "observation": observation}


def state_by(episode: Episode[Any]) -> JSON:
    """The agent-safe state, without an id."""
    return {
        "step_count": len(episode.turns),
        "task_name": episode.task.name,
        "split": episode.split,
        "seed": episode.seed,
        **episode.variant.to_json(),
        "max_steps": episode.max_steps,
        "total_reward": episode.grade().total,
        "done": episode.done,
    }


def episodes() -> tuple[list[JSON], list[JSON]]:
    """The episodes to play, and what they show: per episode its start, its steps and its last state."""
    plans, shown = [], []
    for task, policy, split, seed in PLAYS:
        episode: Episode[Any] = Episode(get_task(task), split, seed)
        player = make_policy(policy, episode.task, seed)
        shown.append(shown_by(episode))
        while not episode.done:
            episode.step(player.act(episode.observation()) if episode.turns else ODD)
            shown.append(shown_by(episode))
        shown.append(state_by(episode))
        calls = [turn.call.to_json() for turn in episode.turns]
        plans.append({"start": {"task_name": task, "split": split, "seed": seed}, "calls": calls})
    return plans, shown


def difference(shown: Sequence[JSON], expected: Sequence[JSON]) -> str:
    """The first difference between a client and the engine; empty if there is none.

    A client begins with a reset without arguments, which draws a scenario; its state names it.
    """
    if len(shown) < 2:
        return "it showed nothing"
    try:
        state = shown[1]
        drawn: Episode[Any] = Episode(get_task(state["task_name"]), state["split"], state["seed"])
    except (KeyError, TypeError, ValueError) as error:
        return f"its first state names no scenario: {error!r}"
    whole = [shown_by(drawn), state_by(drawn), *expected]
    for number, (one, other) in enumerate(zip(shown, whole, strict=False)):
        seen, wanted = canonical(one), canonical(other)
        if seen != wanted:
            at = next((i for i, pair in enumerate(zip(seen, wanted, strict=False)) if pair[0] != pair[1]), 0)
            part = slice(max(0, at - 40), at + 80)
            return f"answer {number} differs: got {seen[part]!r}, the engine shows {wanted[part]!r}"
    if len(shown) != len(whole):
        return f"{len(shown)} answers instead of {len(whole)}"
    return ""
