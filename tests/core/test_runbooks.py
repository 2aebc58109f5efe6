"""Runbooks of look-alikes, composed: reading tells the roles apart, single words do not."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from string import Formatter

import pytest

from safeact_env.core.runbooks import FRAMES, JOINED, Parts, compose
from safeact_env.core.task import SPLITS, Split, Task
from safeact_env.policies.cues import KEPT, LOST, describes_way_back
from safeact_env.tasks import get_task, task_names
from tests.toy import TOY

TEXTS = 2_000
TASKS = [TOY, *map(get_task, task_names())]
EVERY_TASK = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
EVERY_SPLIT = pytest.mark.parametrize("split", SPLITS)


def composed(parts: Parts, keeps: bool, texts: int = TEXTS) -> list[str]:
    rng = Random(f"runbooks/{keeps}")
    return [compose(rng, parts, keeps_former=keeps) for _ in range(texts)]


@EVERY_SPLIT
@EVERY_TASK
def test_the_reader_tells_the_roles_apart_in_hundreds_of_texts(task: Task[object], split: Split) -> None:
    parts = task.text.pools[split].parts
    for keeps in (True, False):
        texts = set(composed(parts, keeps))
        assert len(texts) >= 200
        for text in texts:
            assert describes_way_back(f"Runbook of this: It does this. {text}") is keeps, text


def test_most_texts_have_to_be_joined_from_two_sentences() -> None:
    for keeps in (True, False):
        joined = sum(text.count(". ") > 0 for text in composed(TOY.text.pools["train"].parts, keeps))
        assert JOINED - 0.03 <= joined / TEXTS <= JOINED + 0.03


def test_words_are_as_frequent_in_either_role() -> None:
    """In either role something is kept and something given up, by the same verbs and of the same names."""
    for split in SPLITS:
        one, two = (
            Counter(word for text in composed(TOY.text.pools[split].parts, keeps) for word in words(text))
            for keeps in (True, False)
        )
        assert one.keys() == two.keys()
        for word in one:
            # Four standard deviations of the difference of two counts.
            assert abs(one[word] - two[word]) <= 4 * (one[word] + two[word]) ** 0.5, word


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def test_every_frame_puts_two_things_and_says_what_becomes_of_two() -> None:
    wanted = {"put": {"x", "p", "y", "q"}, "sentence": {"k", "l"}}
    for holders in FRAMES.values():
        for frames in holders.values():
            for part, sentences in frames.items():
                for sentence in sentences:
                    names = {name.lower() for _, name, _, _ in Formatter().parse(sentence) if name}
                    assert names == wanted.get(part, names), sentence
                    if part == "fate":
                        assert names in ({"k"}, {"k", "l"}), sentence
                    if part != "put":
                        assert KEPT.search(sentence) or LOST.search(sentence) or "Only" in sentence, sentence


def test_the_splits_share_no_frame() -> None:
    train, test = (
        {sentence for frames in FRAMES[split].values() for part in frames.values() for sentence in part}
        for split in SPLITS
    )
    assert not train & test


def test_the_draw_is_the_generators_alone() -> None:
    parts = TOY.text.pools["train"].parts
    assert composed(parts, True, 50) == composed(parts, True, 50)
