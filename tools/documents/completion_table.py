"""The table of how long a rollout gets, which a trainer's `max_completion_length` has to allow for.

A token is taken for four bytes. Counted is what comes after the prompt: calls, results, and what a chat
template puts around them. The reasons are the policies' own, a sentence each.
"""

import json
from functools import cache
from math import ceil
from typing import Any

from safeact_env.core.episode import Episode
from safeact_env.core.task import Task
from safeact_env.core.variant import Variant
from safeact_env.integrations.chat import Chat
from safeact_env.integrations.toolset import toolset_of
from safeact_env.llm.prompts import get_prompt
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import OFFICIAL, get_task
from tools.documents.markdown import table

SEEDS = range(5)
POLICIES = ("expert", "thorough")
AROUND = (
    "<tool_call>\n\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n\n</tool_response><|im_end|>\n"
    "<|im_start|>assistant\n"
)
"""What Qwen's template puts around a call and its result."""
TO_NEXT = 256
"""Lengths are rounded up to a multiple of this."""


def completion_table() -> str:
    """Per task and level: the expert's longest rollout, and one that uses up the budget."""
    rows = []
    for name in OFFICIAL:
        task = get_task(name)
        for number in task.levels:
            expert, full = lengths(name, number)
            budget = task.levels[number].max_steps
            rows.append([f"`{name}`", str(number), str(budget), f"{expert:,}", f"{full:,}"])
    return table(["task", "level", "steps", "the expert's", "a full budget"], rows)


@cache
def lengths(name: str, level: int) -> tuple[int, int]:
    """Tokens of the expert's longest rollout, and of a budget full of the longest steps, rounded up."""
    task, expert, per_step = get_task(name), 0.0, 0.0
    for policy in POLICIES:
        for seed in SEEDS:
            tokens, steps = rollout(task, seed, level, policy)
            per_step = max(per_step, tokens / steps)
            expert = max(expert, tokens if policy == "expert" else 0.0)
    full = per_step * task.levels[level].max_steps
    return _rounded(expert), _rounded(full)


def rollout(task: Task[Any], seed: int, level: int, policy: str) -> tuple[float, int]:
    """Tokens after the prompt, and steps, of a policy's episode on the split `train`."""
    chat = Chat(toolset_of(task), get_prompt("neutral"))
    episode: Episode[Any] = Episode(task, "train", seed, variant=Variant(level))
    player, size, before = make_policy(policy, task, seed), 0, episode.observation()
    while not episode.done:
        call = player.act(before)
        episode.step(call)
        after = episode.observation()
        (said,) = chat.said(call)["tool_calls"]
        texts = (json.dumps(said["function"], ensure_ascii=False), chat.answer(before, after), AROUND)
        size += sum(len(text.encode()) for text in texts)
        before = after
    return size / 4, len(episode.turns)


def _rounded(tokens: float) -> int:
    return ceil(tokens / TO_NEXT) * TO_NEXT
