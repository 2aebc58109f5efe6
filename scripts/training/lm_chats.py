"""Chats of the expert as tokens, to train a small language model on from nothing.

The messages are those of `safeact export --form sft`; which tokens are the assistant's is told beside them.
The system message and the tools are the same in every chat of a task and are left out. A call is written as
lines, its reason first: that is shorter than JSON, and names stand behind a space, as they do where they are
copied from. Owns this form, the tokenizer, and the ways to make chats easier to learn from. Must not need
torch.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase
from typing import Any, Literal, NamedTuple

from safeact_env.call import Call, EnvelopeError
from safeact_env.core.episode import Episode
from safeact_env.core.runbooks import Parts
from safeact_env.core.task import Task
from safeact_env.core.variant import Variant
from safeact_env.exports import Rollout, sft_row
from safeact_env.integrations.chat import Message
from safeact_env.integrations.toolset import REASONING, UPKEEP, toolset_of
from safeact_env.llm.call_formats import UNREADABLE
from safeact_env.policies.reference import play
from safeact_env.tasks import get_task

PAD, END, USER, CALL, RESULT = SPECIAL = ("<|pad|>", "<|end|>", "<|user|>", "<|call|>", "<|result|>")
"""Tokens of their own; a padding token is number 0."""
MARKS = {"user": USER, "assistant": CALL, "tool": RESULT}
LOOK = "read_runbook"
LEVELS = (1, 2, 3)
"""Levels whose chats are short enough to be read whole."""
UNSEEN = 10_000_000
"""Scenarios of the split `train` from this seed on are never trained on."""
PER_RUN = 1_000_000
"""Training scenarios that each seed of a run has for itself."""
ENDING = re.compile(r"(\.[a-z0-9]+)+$")
"""Of a file's name; the point of an initial is none."""
REASONS = ("expert", "clause")
Reasons = Literal["expert", "clause"]


class Chat(NamedTuple):
    """A chat as tokens.

    Attributes:
        ids: The tokens.
        said: For each, whether the assistant says it.
    """

    ids: list[int]
    said: list[bool]


@dataclass(frozen=True, slots=True)
class Source:
    """Which chats of the split `train` to make.

    Attributes:
        tasks: Names of tasks.
        variants: Levels and framings.
        drills: Share of chats, in [0, 1], that hold only the choice of the upkeep action.
        reasons: What the expert's reason is after a runbook: its own, or `clause`, what became of the former
            version, which is what decides.
        renamed: Share of chats, in [0, 1], in which things, look-alikes and holders have made-up names, that
            can only be copied.
    """

    tasks: tuple[str, ...]
    variants: tuple[Variant, ...]
    drills: float = 0.0
    reasons: Reasons = "expert"
    renamed: float = 0.0

    def messages(self, number: int) -> list[Message]:
        """The messages of a chat; every number is a scenario of its own."""
        rng = Random(f"chat/{number}")
        task, variant = get_task(rng.choice(self.tasks)), rng.choice(self.variants)
        episode = play(task, "train", number, "expert", variant=variant)
        found: list[Message] = sft_row(Rollout(episode, "expert"))["messages"][1:]
        if self.reasons == "clause":
            found = with_clauses(episode, found)
        if rng.random() < self.drills:
            found = drill(found)
        return rename(found, names_in(episode), rng) if rng.random() < self.renamed else found


def drill(messages: Sequence[Message]) -> list[Message]:
    """Only the choice among look-alikes: their list, their runbooks, and the call that follows."""
    first = next(number for number, one in enumerate(messages) if called(one)[0] == LOOK)
    runs = next(number for number, one in enumerate(messages) if called(one)[0] == UPKEEP)
    listed = messages[0]["content"].rpartition("\n\n")[2]
    return [{"role": "user", "content": listed}, *messages[first : runs + 1]]


def with_clauses(episode: Episode[Any], messages: Sequence[Message]) -> list[Message]:
    """The messages with what a runbook decides by as the reason for the call that follows it."""
    found, upkeep, read = [], episode.state.upkeep, None
    pool = get_task(episode.task.name).text.pools["train"]
    for one in messages:
        name, arguments = called(one)
        if name and read:
            reason = clause(upkeep.runbooks[read], pool.parts, kept=read == upkeep.working)
            one = said(name, {**arguments, REASONING: reason})
        if name:
            read = arguments["action_name"] if name == LOOK else None
        found.append(one)
    return found


def clause(text: str, parts: Parts, *, kept: bool) -> str:
    """Where a runbook puts the former version, if it says that, and whether it is kept there.

    In every frame the first thing goes to the first holder, and the second to the second.
    """
    low = text.lower()
    things = sorted((low.find(one), one) for one in (*parts.former, *parts.byproducts) if one in low)
    holders = (*parts.places, *parts.owners, *parts.labels)
    held = sorted((low.find(one.lower()), one) for one in holders if one.lower() in low)
    number, former = next((number, one) for number, (_, one) in enumerate(things) if one in parts.former)
    where = f", {held[number][1]}" if held else ""
    return f"{former}{where}: {'kept' if kept else 'lost'}"


def called(message: Message) -> tuple[str, dict[str, Any]]:
    """The tool and arguments of a message, or nothing."""
    if not message.get("tool_calls"):
        return "", {}
    function = message["tool_calls"][0]["function"]
    return function["name"], function["arguments"]


def said(name: str, arguments: dict[str, Any]) -> Message:
    """A message of the assistant."""
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}


def names_in(episode: Episode[Any]) -> list[str]:
    """Names that a scenario could have otherwise: of things, of look-alikes, and of holders in runbooks."""
    tables = [one for one in episode.observation()["current_state"].values() if isinstance(one, dict)]
    things = [key.rpartition("/")[2] for one in tables for key, row in one.items() if isinstance(row, dict)]
    parts = get_task(episode.task.name).text.pools["train"].parts
    holders = [one.removeprefix("the ") for one in (*parts.places, *parts.owners, *parts.labels)]
    return [*things, *episode.state.upkeep.runbooks, *holders]


def rename(messages: Sequence[Message], names: Sequence[str], rng: Random) -> list[Message]:
    """The messages with a made-up name for each name, of as many words, and with its ending."""
    made = {}
    for name in names:
        stem = ENDING.sub("", name)
        made[name] = (
            re.sub("[A-Za-z0-9]+", lambda word: _made_up(rng, like=word[0]), stem) + name[len(stem) :]
        )
    longest_first = sorted(map(re.escape, names), key=len, reverse=True)
    pattern = re.compile(rf"(?<![a-z0-9_])(?:{'|'.join(longest_first)})(?![a-z0-9_])")
    found: list[Message] = json.loads(pattern.sub(lambda one: made[one[0]], json.dumps(messages)))
    return found


def _made_up(rng: Random, like: str) -> str:
    made = "".join(rng.choices(ascii_lowercase, k=rng.randint(2, 6)))
    if len(like) == 1 and like.isupper():
        return made[0].upper()  # an initial
    return made.capitalize() if like[0].isupper() else made


# Text and tokens --------------------------------------------------------------------------------------------


def text_of(message: Message) -> str:
    """What stands behind the mark of a message's role."""
    name, arguments = called(message)
    if not name:
        return f"\n{message['content']}\n"
    rest = "".join(f"\n{key}: {value}" for key, value in arguments.items() if key != REASONING)
    return f" {arguments[REASONING]}\n {name}{rest}"


def call_of(task: Task[Any], text: str) -> Call:
    """The call in an answer; one of an action that does not exist if it is none."""
    tools = {tool.name: tool for tool in toolset_of(task).tools}
    why, name, *lines = [line.strip() for line in text.split("\n")] + [""]
    pairs = [line.partition(": ") for line in lines if line]
    try:
        kinds = {one.name: one.type for one in tools[name].parameters}
        given: dict[str, Any] = {key: kinds.get(key, str)(value) for key, _, value in pairs}
        return toolset_of(task).call(name, {REASONING: why, **given})
    except (KeyError, ValueError, EnvelopeError):
        return Call(UNREADABLE, {}, "The answer of the model could not be read as a call.")


def encoded(words: Any, messages: Iterable[Message]) -> Chat:
    """Messages as tokens; the end of a call is the assistant's as well, its mark is not."""
    ids: list[int] = []
    said: list[bool] = []
    for one in messages:
        mine = one["role"] == "assistant"
        inner = words.encode(text_of(one)).ids + ([words.token_to_id(END)] if mine else [])
        ids += [words.token_to_id(MARKS[one["role"]]), *inner]
        said += [False, *[mine] * len(inner)]
    return Chat(ids, said)


def tokenizer(source: Source, size: int, chats: int) -> Any:
    """A byte-level BPE tokenizer, trained on the first chats of a source.

    Args:
        source: The chats.
        size: Of the vocabulary, at least 300.
        chats: How many to train on.
    """
    texts = (text_of(one) for number in range(chats) for one in source.messages(number))
    return byte_level_bpe(texts, size, SPECIAL)


def byte_level_bpe(texts: Iterable[str], size: int, special: Sequence[str]) -> Any:
    """A byte-level BPE tokenizer of this many tokens, the special ones first, trained on texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator(texts, trainer)
    return words
