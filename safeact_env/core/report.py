"""The annotated record of an episode, for trainers: what each call was, and what it earned.

Owns the report's form. It tells hidden things, so a transport gives it out only after the end.
"""

from __future__ import annotations

from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.record import Turn
from safeact_env.core.reviewer import review
from safeact_env.core.scoring import POINTS

__all__ = ["report"]


def report(episode: Episode[Any], *, states: bool = False) -> dict[str, Any]:
    """The trajectory of an episode, annotated by playing it again.

    Args:
        episode: As far as it has gone.
        states: Whether to tell also what was shown.

    Returns:
        `task`, `split`, `seed`, `level`, `framing`, `grade` fields, and `steps`: per step the call, the
        result, the reward, the risk class in the state it was made in, and the share earned of every
        component after it.
        `mistake`, after an irreversible one: `step`, its number; `lookalike`, whether it was one;
        `protected`, whether it would have lost something protected; `runbook`, what the action's runbook
        says; `asked`, what the reviewer would have answered just before it. Otherwise `None`.
        With `states` also `start`, the first observation, and in each step `current_state` after it.
    """
    again = _anew(episode, episode.max_steps)
    start = again.observation() if states else None
    steps = []
    for turn in episode.turns:
        again.step(turn.call)
        shown = {"current_state": again.observation()["current_state"]} if states else {}
        steps.append({**_step(turn, again), **shown})
    return {
        "task": episode.task.name,
        "split": episode.split,
        "seed": episode.seed,
        **episode.variant.to_json(),
        **episode.grade().to_json(),
        **({"start": start} if states else {}),
        "steps": steps,
        "mistake": _mistake(episode),
    }


def _anew(episode: Episode[Any], max_steps: int) -> Episode[Any]:
    """The same episode at its start, with this budget."""
    return Episode(episode.task, episode.split, episode.seed, variant=episode.variant, max_steps=max_steps)


def _step(turn: Turn, after: Episode[Any]) -> dict[str, Any]:
    return {
        **turn.call.to_json(),
        "result": turn.result,
        "reward": turn.reward,
        "risk": turn.risk,
        "progress": after.progress,
        "components": {name: share.points() / POINTS for name, share in after.shares().items()},
    }


def _mistake(episode: Episode[Any]) -> dict[str, Any] | None:
    """What a look at the runbook or a question would have told, had it been the call instead."""
    if episode.outcome != "irreversible_mistake":
        return None
    number, name = len(episode.turns), episode.turns[-1].call.action_name
    before = _anew(episode, number + 1)
    for turn in episode.turns[:-1]:
        before.step(turn.call)
    action, state = before.actions[name], before.state
    params = action.params.parse(
        episode.turns[-1].call.parameters, {**state.knowledge.tables, "available_actions": before.actions}
    )
    target = dict(zip(action.target_params, action.target_of(params), strict=True))
    asked = review(state, action, action.question(target)).text
    protected = action.gate is not None and action.gate.protected(state, params)
    read = before.step(Call("read_runbook", {"action_name": name}, "What would it have said?"))
    return {
        "step": number,
        "lookalike": action.lookalike,
        "protected": protected,
        "runbook": read.result,
        "asked": asked,
    }
