"""The audit of texts: clean on a task, and it catches words that tell the role of a look-alike."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from safeact_env.audit import texts
from safeact_env.audit.texts import TEXTS
from safeact_env.core.runbooks import Parts, compose
from safeact_env.core.task import Split, Task
from safeact_env.tasks import get_task
from tests.audit.mutants import scope_of

EASY = get_task("easy")


@pytest.fixture(autouse=True)
def few_texts(monkeypatch):
    monkeypatch.setattr(texts, "TRAIN", 150)
    monkeypatch.setattr(texts, "TEST", 150)


def breaches(task: Task[Any], split: Split = "train") -> str:
    return "; ".join(breach.message for breach in TEXTS.run(scope_of(task, 1, split)).breaches)


def with_parts(split: Split, **phrases: tuple[str, ...]) -> Task[Any]:
    """A task with other nouns in one split."""
    pools = dict(EASY.text.pools)
    pools[split] = replace(pools[split], parts=replace(pools[split].parts, **phrases))
    return replace(EASY, text=replace(EASY.text, pools=pools))


def with_briefs(split: Split, briefs: list[str]) -> Task[Any]:
    data = dict(EASY.text.data)
    data[split] = {**data[split], "briefs": briefs}
    return replace(EASY, text=replace(EASY.text, data=data))


def test_a_task_is_clean():
    result = TEXTS.run(scope_of(EASY, 1, "test"))
    assert not result.breaches
    assert result.figures["distinct texts"] > 1_000
    assert set(result.figures) == {
        "distinct texts",
        *("the shortest", "the longest", "bag of words", "bigrams", "tf-idf"),
        *("skip-bigrams", "boosted trees"),
    }


def test_a_word_that_tells_is_caught(monkeypatch):
    def told(rng: Random, parts: Parts, *, keeps_former: bool) -> str:
        text = compose(rng, parts, keeps_former=keeps_former)
        return f"{text} Quietly." if keeps_former else f"{text} Loudly."

    monkeypatch.setattr(texts, "compose", told)
    found = breaches(EASY, "test")
    assert "bag of words pick the working look-alike in" in found
    assert "bigrams pick the working look-alike in" in found


def test_a_length_that_tells_is_caught(monkeypatch):
    def told(rng: Random, parts: Parts, *, keeps_former: bool) -> str:
        text = compose(rng, parts, keeps_former=keeps_former)
        return text if keeps_former else text.replace(" ", "  ")

    monkeypatch.setattr(texts, "compose", told)
    assert "the shortest pick the working look-alike in" in breaches(EASY, "test")


def test_too_few_texts_are_caught():
    few = with_parts(
        "train",
        former=("the former index",),
        byproducts=("the log",),
        places=("the vault", "the tray"),
        owners=("the desk", "the crew"),
        labels=("teal", "amber"),
    )
    assert "texts of one role" in breaches(few)


def test_a_sentence_that_both_splits_have_is_caught():
    pools = EASY.text.pools
    same = replace(EASY, text=replace(EASY.text, pools={**pools, "test": pools["train"]}))
    assert "both splits say" in breaches(same)


def test_a_former_version_that_does_not_say_so_is_caught():
    assert "the reader gets this wrong" in breaches(with_parts("train", former=("the index", "the map")))


def test_too_few_briefs_are_caught():
    briefs = EASY.text.data["train"]["briefs"]
    assert breaches(with_briefs("train", briefs[:5])) == "only 5 templates of the brief"


def test_a_brief_that_both_splits_have_is_caught():
    briefs = EASY.text.data["train"]["briefs"]
    assert breaches(with_briefs("test", briefs)) == f"both splits have the brief {min(briefs)!r}"
