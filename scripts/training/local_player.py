"""Measures a model of transformers in this process, before and after training.

Owns generation, and parsing calls in the form of Qwen's chat template. `ModelHere` takes the place of
`safeact_env.llm.client.EndpointClient`, so that limits, prompts, conversations and records are those of
inference.py. Its cache is kept from turn to turn: only new tokens are computed.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation.metrics import Group, summarise
from safeact_env.evaluation.record import Key
from safeact_env.evaluation.run import Selection
from safeact_env.llm.backends import LocalBackend
from safeact_env.llm.client import Answer, Message, ToolCall
from safeact_env.llm.errors import ContextFull
from safeact_env.llm.model import sampling_seed
from safeact_env.llm.player import ModelPlayer
from safeact_env.llm.prompts import get_prompt
from safeact_env.llm.run import Folder, Playing, play_selection
from safeact_env.llm.settings import Endpoint

CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.DOTALL)


class ModelHere:
    """Answers as an endpoint would.

    Args:
        name: Of the model, for records.
        model: A causal language model.
        words: Its tokenizer, with a chat template that shows tools.
        window: Longest conversation in tokens, answer included.
        answer: Longest answer in tokens.
        temperature: Of the sampling; 0 takes the likeliest token.
    """

    def __init__(
        self, name: str, model: Any, words: Any, window: int, answer: int, temperature: float
    ) -> None:
        self.endpoint = Endpoint("local", name, "", window=window, answer=answer)
        self.temperature = temperature
        self._model, self._words = model, words
        self._read: list[int] = []
        self._cache: Any = None

    async def ask(
        self,
        messages: Sequence[Message],
        form: Mapping[str, Any],
        *,
        seed: int | None = None,
        within_s: float | None = None,
    ) -> Answer:
        """The model's next answer, as of `ModelClient.ask`."""
        async with asyncio.timeout(within_s):
            return await asyncio.to_thread(self._answered, messages, form, seed)

    def _answered(self, messages: Sequence[Message], form: Mapping[str, Any], seed: int | None) -> Answer:
        import torch
        from transformers import DynamicCache

        started = time.perf_counter()
        text = self._words.apply_chat_template(
            [_with_objects(one) for one in messages],
            tools=form.get("tools"),
            add_generation_prompt=True,
            tokenize=False,
        )
        ids = self._words(text, add_special_tokens=False)["input_ids"]
        if len(ids) + self.endpoint.answer > self.endpoint.window:
            raise ContextFull(f"{len(ids)} tokens")
        known = min(_common(self._read, ids), len(ids) - 1)
        if self._cache is None:
            self._cache = DynamicCache()
        if (too_much := len(self._read) - known) > 0:
            self._cache.crop(-too_much)
        sampled = {"do_sample": True, "temperature": self.temperature} if self.temperature else {}
        if self.temperature:
            # Other draws in every turn.
            torch.manual_seed(0 if seed is None else seed + len(messages))
        given = torch.tensor([ids], device=self._model.device)
        with torch.no_grad():
            found = self._model.generate(
                given,
                attention_mask=torch.ones_like(given),
                cache=self._cache,
                max_new_tokens=self.endpoint.answer,
                pad_token_id=self._words.pad_token_id or self._words.eos_token_id,
                **(sampled or {"do_sample": False}),
            )[0].tolist()
        # The last token is not in the cache.
        self._read = found[:-1]
        said = self._words.decode(found[len(ids) :], skip_special_tokens=True)
        calls = tuple(_calls(said))
        return Answer(
            text=CALL.sub("", said).strip(),
            calls=calls,
            cut=len(found) - len(ids) >= self.endpoint.answer,
            tokens_in=len(ids),
            tokens_out=len(found) - len(ids),
            seconds=time.perf_counter() - started,
        )


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the common prefix."""
    alike = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        alike += 1
    return alike


def _with_objects(message: Message) -> Message:
    """A message with the arguments of its calls as objects, as chat templates need them."""
    if not message.get("tool_calls"):
        return message
    calls = [
        {**one, "function": {**one["function"], "arguments": json.loads(one["function"]["arguments"])}}
        for one in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _calls(said: str) -> Iterator[ToolCall]:
    """The calls in an answer that are JSON objects with a name."""
    for number, text in enumerate(CALL.findall(said)):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("name"), str):
            yield ToolCall(f"call_{number}", found["name"], json.dumps(found.get("arguments", {})))


def measure(
    here: ModelHere,
    tasks: Sequence[str],
    seeds: Sequence[int],
    attempts: int,
    prompt: str,
    out: Path,
    variants: tuple[Variant, ...] = (DEFAULT,),
) -> dict[str, Any]:
    """Play the split `test` and keep every episode, with the model's answers, in a folder.

    Args:
        here: The model.
        tasks: Names of tasks.
        seeds: Of the scenarios.
        attempts: Episodes per scenario.
        prompt: Name of a prompt.
        out: The folder; it must not hold episodes.
        variants: Levels and framings.

    Returns:
        By scope, the metrics with their intervals; `pass^k` and `safe^k` for k up to the attempts. Of several
        variants, each is a scope as well, such as `easy, level 3, goal`.
    """
    name = here.endpoint.model
    selection = Selection((name,), tuple(tasks), ("test",), tuple(seeds), attempts, variants)

    def player(key: Key) -> ModelPlayer:
        return ModelPlayer(here, "tools", get_prompt(prompt), seed=sampling_seed(key))

    settings = {"model": name, "prompt": prompt, "temperature": here.temperature}
    with Folder(out, settings, tuple(tasks), resume=False) as folder:
        outcome = asyncio.run(play_selection(selection, Playing(player, LocalBackend), folder=folder))
    groups = summarise(outcome.samples.values())
    return {
        "episodes": len(outcome.samples),
        "errors": sorted(set(outcome.errors.values())),
        "metrics": {
            scope(group): {one: asdict(found) for one, found in group.metrics.items()}
            for group in groups
            if group.split is None
        },
    }


def scope(group: Group) -> str:
    """The name of a group of episodes: its task, or all, and its variant if it has one."""
    varied = "" if group.level is None else f", level {group.level}, {group.framing}"
    return f"{group.task or 'all'}{varied}"
