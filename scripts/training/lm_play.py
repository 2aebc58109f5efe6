"""Plays episodes with a language model, several at once, and makes their records.

Owns generation: the cache of a conversation is kept from turn to turn, so that only new tokens are computed.
Rows of unequal length are padded on the left of each turn, and what is padded is never attended to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from safeact_env.core.episode import Episode
from safeact_env.evaluation import record_of
from safeact_env.evaluation.record import UNKNOWN, risks_of
from safeact_env.integrations.chat import Chat as Messages
from safeact_env.integrations.toolset import toolset_of
from safeact_env.llm.call_formats import UNREADABLE
from safeact_env.llm.prompts import get_prompt
from scripts.training.lm_chats import CALL, END, Chat, call_of, encoded


@dataclass(frozen=True, slots=True)
class Limits:
    """How answers are generated.

    Attributes:
        temperature: Of the sampling; 0 takes the likeliest token.
        answer: Longest answer in tokens.
        window: Longest conversation in tokens.
        unreadable: Most answers in a row that are no calls. An episode that comes to this or to the window is
            graded as it stands.
    """

    temperature: float = 0.0
    answer: int = 80
    window: int = 6_144
    unreadable: int = 4


@dataclass(slots=True)
class Row:
    """An episode that is being played.

    Attributes:
        episode: The episode.
        chat: All tokens so far, and which of them the model said.
        read: How many of them are in the cache.
    """

    episode: Episode[Any]
    chat: Chat = field(default_factory=lambda: Chat([], []))
    read: int = 0

    def add(self, ids: Sequence[int], said: bool = False) -> None:
        """Add tokens."""
        self.chat.ids.extend(ids)
        self.chat.said.extend([said] * len(ids))


class Reader:
    """A model with the cache of the rows that it reads.

    Args:
        model: A causal language model.
        rows: How many rows it reads at first.
    """

    def __init__(self, model: Any, rows: int) -> None:
        self.model = model
        self.cache = DynamicCache()
        self.mask = torch.zeros(rows, 0, dtype=torch.long, device=model.device)

    def read(self, new: Sequence[Sequence[int]]) -> Tensor:
        """Read new tokens of every row; the logits that follow them, of shape (rows, vocabulary)."""
        width = max(map(len, new))
        padded = [[0] * (width - len(ids)) + list(ids) for ids in new]
        shown = [[0] * (width - len(ids)) + [1] * len(ids) for ids in new]
        device = self.mask.device
        self.mask = torch.cat([self.mask, torch.tensor(shown, device=device)], 1)
        places = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -width:]
        with torch.no_grad():
            found = self.model(
                input_ids=torch.tensor(padded, device=device),
                attention_mask=self.mask,
                position_ids=places,
                cache=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = found.logits[:, -1]
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Forget the other rows."""
        chosen = torch.tensor(rows, device=self.mask.device)
        self.cache.batch_select_indices(chosen)
        self.mask = self.mask[chosen]


def play(
    model: Any, words: Any, episodes: Sequence[Episode[Any]], limits: Limits, draws: torch.Generator
) -> list[Row]:
    """Play fresh episodes to their end.

    Args:
        model: A causal language model.
        words: Its tokenizer.
        episodes: As many as fit into memory.
        limits: How to generate.
        draws: Of the sampling.
    """
    rows = [Row(one) for one in episodes]
    for row in rows:
        opening = _messages(row.episode).opening(row.episode.observation())
        row.add([*encoded(words, opening[1:]).ids, words.token_to_id(CALL)])
    reader, live = Reader(model, len(rows)), rows
    while live:
        _answer(reader, live, words.token_to_id(END), limits, draws)
        for row in live:
            _step(row, words)
        room = [
            number for number, row in enumerate(live) if not row.episode.done and not _is_over(row, limits)
        ]
        if room and len(room) < len(live):
            reader.keep(room)
        live = [live[number] for number in room]
    return rows


def _answer(reader: Reader, rows: Sequence[Row], end: int, limits: Limits, draws: torch.Generator) -> None:
    """Generate an answer in each row; its last token is not read yet."""
    speaking = set(range(len(rows)))
    for left in reversed(range(limits.answer)):
        logits = reader.read([row.chat.ids[row.read :] for row in rows])
        for row in rows:
            row.read = len(row.chat.ids)
        chosen = _chosen(logits.float().cpu(), limits.temperature, draws)
        for number in list(speaking):
            rows[number].add([chosen[number]], said=True)
            if chosen[number] == end:
                speaking.remove(number)
        if not speaking or not left:
            return


def _chosen(logits: Tensor, temperature: float, draws: torch.Generator) -> list[int]:
    if not temperature:
        return [int(one) for one in logits.argmax(-1)]
    return [int(one) for one in torch.multinomial((logits / temperature).softmax(-1), 1, generator=draws)]


def _step(row: Row, words: Any) -> None:
    """Take the row's last answer for its call, and add the result."""
    start = len(row.chat.said) - row.chat.said[::-1].index(False)
    call = call_of(row.episode.task, words.decode(row.chat.ids[start:]))
    before = row.episode.observation()
    row.episode.step(call)
    content = _messages(row.episode).answer(before, row.episode.observation())
    row.add(encoded(words, [{"role": "tool", "content": content}]).ids)
    if not row.episode.done:
        row.add([words.token_to_id(CALL)])


def _is_over(row: Row, limits: Limits) -> bool:
    last = [turn.call.action_name for turn in row.episode.turns[-limits.unreadable :]]
    lost = len(last) == limits.unreadable and set(last) == {UNREADABLE}
    return lost or len(row.chat.ids) + limits.answer > limits.window


def _messages(episode: Episode[Any]) -> Messages:
    return Messages(toolset_of(episode.task), get_prompt("neutral"))


# Records ----------------------------------------------------------------------------------------------------


def picked(episode: Episode[Any]) -> bool | None:
    """Whether the first look-alike that was called is the one that works; `None` if none was called."""
    upkeep = episode.state.upkeep
    called = [turn.call.action_name for turn in episode.turns if turn.call.action_name in upkeep.runbooks]
    return called[0] == upkeep.working if called else None


def recorded(row: Row, name: str) -> dict[str, Any]:
    """The record of an episode, with what the tables need of the model's part.

    That is the number of calls that are none (`malformed`: an answer that cannot be read, an action or
    parameters that do not exist), the first look-alike (`picked`), and the length in tokens.
    """
    part = {
        "malformed": risks_of(row.episode).count(UNKNOWN),
        "picked": picked(row.episode),
        "tokens": len(row.chat.ids),
    }
    return record_of(row.episode, name, model=part)
