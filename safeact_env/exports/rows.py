"""Rows of the three forms: chats (`sft`), preference pairs (`dpo`), rated answers (`kto`).

Owns the columns. Must not know files. Messages and tools are those that a model sees in training with
`safeact_env.integrations.trl`; rewards and grades have columns of their own.

The arguments of calls differ in their keys. `datasets` before 4.7 would give them all the keys there are, and
fill in nulls, without a word. So each row has a list of a text and an object, which those versions cannot
read either: they stop, and their error names the column.
"""

import json
from collections.abc import Sequence
from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.evaluation.record import Said
from safeact_env.exports.card import CANARY
from safeact_env.exports.pairs import Pair
from safeact_env.exports.sources import Rollout
from safeact_env.integrations.chat import Chat, Message
from safeact_env.integrations.toolset import toolset_of
from safeact_env.llm.prompts import get_prompt

__all__ = ["ABOUT", "COLUMNS", "NEEDS", "chat_of", "pair_row", "rated_rows", "sft_row"]

Row = dict[str, Any]

NEEDS = "needs_datasets_4_7_or_newer"
_MARKS: Row = {
    "canary": CANARY,
    NEEDS: ["older versions of datasets fill objects in with nulls", {"pip install": "datasets>=4.7"}],
}
"""The last columns of each row."""

ABOUT: dict[str, str] = {
    "messages": "the episode: system, user, then a call and its result in turn",
    "prompt": "the messages up to the step",
    "chosen": "one message, the call to prefer",
    "rejected": "one message, the call to avoid: here it ends the episode in an irreversible mistake",
    "completion": "one message, a call",
    "label": "true if it is the call to prefer, false if it is the call to avoid",
    "tools": "the tools as JSON, for the chat template",
    "task": "name of the task",
    "split": "train or test",
    "seed": "of the scenario",
    "level": "how large the job is, 1 to 5",
    "framing": "the words around the scenario: rules, goal, hurry, waiver or planted",
    "step": "number of the step, from 1",
    "by": "who played the episode",
    "score": "its grade, in [0, 1]",
    "return": "sum of its rewards",
    "steps": "steps it took",
    "outcome": "how it ended",
    "chosen_reward": "reward of the step with the call to prefer",
    "rejected_reward": "reward of the step with the call to avoid",
    "rejected_score": "grade after the call to avoid",
    "reward": "reward of the step with this call",
    "canary": "the line by which these data can be found in a corpus",
    NEEDS: "a list that older versions of datasets cannot read, as they would not read the calls rightly",
}
"""Description of each column, for the card."""
_NAMED = ("task", "split", "seed", "level", "framing")
_SCENARIO = ("tools", *_NAMED)
COLUMNS: dict[str, tuple[str, ...]] = {
    "sft": ("messages", *_SCENARIO, "by", "score", "return", "steps", "outcome", *_MARKS),
    "dpo": (
        *("prompt", "chosen", "rejected", *_SCENARIO, "step", "by"),
        *("chosen_reward", "rejected_reward", "rejected_score", *_MARKS),
    ),
    "kto": ("prompt", "completion", "label", *_SCENARIO, "step", "by", "reward", *_MARKS),
}
"""The columns of each form, in order."""


def chat_of(
    episode: Episode[Any],
    prompt: str,
    steps: int | None = None,
    predictions: Sequence[Said] | None = None,
) -> list[Message]:
    """Return an episode as messages, whole or up to a number of steps.

    Args:
        episode: The episode.
        prompt: Name of the prompt.
        steps: Number of steps; by default all.
        predictions: One per call; the messages then ask for them, and calls hold those that were given.
    """
    predict = predictions is not None
    chat = Chat(toolset_of(episode.task, predict=predict), get_prompt(prompt, predict=predict))
    said = iter(predictions or [None] * len(episode.turns))
    again: Episode[Any] = Episode(
        episode.task, episode.split, episode.seed, variant=episode.variant, max_steps=episode.max_steps
    )
    before = again.observation()
    messages = chat.opening(before)
    for turn in episode.turns[:steps]:
        again.step(turn.call)
        after = again.observation()
        messages += [chat.said(turn.call, next(said)), chat.result(turn.call, before, after)]
        before = after
    return messages


def sft_row(one: Rollout, prompt: str = "neutral", *, predict: bool = False) -> Row:
    """Return an episode as a chat.

    Args:
        one: The episode.
        prompt: Name of the prompt.
        predict: Whether calls hold their predictions. The episode must have some.
    """
    grade = one.episode.grade()
    return {
        "messages": chat_of(one.episode, prompt, predictions=one.predictions if predict else None),
        **_about(one, predict=predict),
        "score": grade.score,
        "return": grade.total,
        "steps": grade.steps,
        "outcome": grade.outcome,
        **_MARKS,
    }


def pair_row(one: Rollout, pair: Pair, prompt: str = "neutral") -> Row:
    """Return a pair as a preference, with the episode up to it as a chat."""
    chat = Chat(toolset_of(one.episode.task), get_prompt(prompt))
    return {
        "prompt": chat_of(one.episode, prompt, len(pair.before)),
        "chosen": [chat.said(pair.safe.call)],
        "rejected": [chat.said(pair.mistake.call)],
        **_about(one, len(pair.before) + 1),
        "chosen_reward": pair.safe.reward,
        "rejected_reward": pair.mistake.reward,
        "rejected_score": pair.mistake.score,
        **_MARKS,
    }


def rated_rows(row: Row) -> tuple[Row, Row]:
    """Split a row of `pair_row` into two separately rated answers, the preferred one first."""
    shared = {name: row[name] for name in (*_SCENARIO, "step", "by")}

    def rated(side: str, label: bool) -> Row:
        return {
            "prompt": row["prompt"],
            "completion": row[side],
            "label": label,
            **shared,
            "reward": row[f"{side}_reward"],
            **_MARKS,
        }

    return rated("chosen", True), rated("rejected", False)


def _about(one: Rollout, step: int | None = None, *, predict: bool = False) -> Row:
    episode = one.episode
    return {
        "tools": json.dumps(toolset_of(episode.task, predict=predict).schemas(), ensure_ascii=False),
        "task": episode.task.name,
        "split": episode.split,
        "seed": episode.seed,
        **episode.variant.to_json(),
        **({} if step is None else {"step": step}),
        "by": one.by,
    }
