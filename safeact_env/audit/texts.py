"""Reading is needed, and enough: learners of words look for the role of a look-alike in its runbook.

Owns this audit. Must not know any concrete task. The learners are scikit-learn's, imported when it is run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from random import Random
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.rollouts import wire
from safeact_env.core.lookalikes import Pool
from safeact_env.core.runbooks import compose
from safeact_env.core.task import SPLITS, Split, Task
from safeact_env.policies.cues import describes_way_back

__all__ = ["TEXTS"]

TRAIN, TEST = 3_000, 2_000
"""Scenarios' worth of runbooks, three each, that are learned on and judged."""
MOST_PICKED, MOST_BY_PAIRS = 0.45, 0.60
"""How often a learner may pick the working one on `test` (chance 0.33); pairs of words are allowed more."""
LEAST_TEXTS = 200
LEAST_BRIEFS = 6
WINDOW = 6

Texts = Sequence[str]
Score = Callable[[Texts], Any]


def texts(scope: Scope) -> Result:
    """Learned on `train`, judged on `test`; only the split `test` is judged, the other is counted."""
    result = Result("texts")
    pools = scope.task.text.pools
    check_variety(scope.task, scope.split, result)
    check_reader(pools[scope.split], scope.rng("reader"), result)
    scope.tick(0.3)
    if scope.split == "test":
        learn(pools, scope, result)
    return result


def learn(pools: Mapping[Split, Pool], scope: Scope, result: Result) -> None:
    """Judge each learner of `train` on `test`."""
    learned = triples(pools["train"], scope.rng("train"), TRAIN)
    judged = triples(pools["test"], scope.rng("test"), TEST)
    # Every framing has the same texts.
    key = ("texts", sha256(wire([learned, judged])).digest())
    if key not in scope.known:
        scope.known[key] = shares_picked(learned, judged)
    for name, share in scope.known[key].items():
        result.checked += TEST
        result.figures[name] = round(share, 3)
        if share > (MOST_BY_PAIRS if name == "skip-bigrams" else MOST_PICKED):
            result.breach(f"{name} pick the working look-alike in {share:.3f} of {TEST} scenarios")


def shares_picked(learned: Texts, judged: Texts) -> dict[str, float]:
    """Per learner how often it picks the working one."""
    from safeact_env.audit.learning import single_threaded

    with single_threaded():
        return {name: picked(score, judged) for name, score in learners(learned)}


def triples(pool: Pool, rng: Random, scenarios: int) -> list[str]:
    """Runbooks as scenarios have them: the working one first, then two traps."""
    return [
        f"{one.changes} {compose(rng, pool.parts, keeps_former=number == 0)}"
        for _ in range(scenarios)
        for number, one in enumerate(rng.sample(pool.names, 3))
    ]


def check_variety(task: Task[Any], split: Split, result: Result) -> None:
    """At least 200 distinct texts a role, six briefs, and no sentence that both splits have."""
    found = {
        (one, keeps): {
            compose(Random(seed), task.text.pools[one].parts, keeps_former=keeps) for seed in range(2_000)
        }
        for one in SPLITS
        for keeps in (True, False)
    }
    for keeps in (True, False):
        if len(found[split, keeps]) < LEAST_TEXTS:
            result.breach(f"only {len(found[split, keeps])} texts of one role")
    said = {
        one: {s for keeps in (True, False) for text in found[one, keeps] for s in sentences(text)}
        for one in SPLITS
    }
    if both := said["train"] & said["test"]:
        result.breach(f"both splits say {min(both)!r}")
    briefs = {one: task.text.data.get(one, {}).get("briefs", []) for one in SPLITS}
    if len(set(briefs[split])) < LEAST_BRIEFS:
        result.breach(f"only {len(set(briefs[split]))} templates of the brief")
    if both := set(briefs["train"]) & set(briefs["test"]):
        result.breach(f"both splits have the brief {min(both)!r}")
    result.figures["distinct texts"] = min(len(found[split, keeps]) for keeps in (True, False))


def sentences(text: str) -> list[str]:
    """The sentences of a text."""
    return re.split(r"(?<=\.) ", text)


def check_reader(pool: Pool, rng: Random, result: Result) -> None:
    """Whoever reads gets every one right."""
    for number, text in enumerate(triples(pool, rng, 1_000)):
        result.checked += 1
        if describes_way_back(text) is not (number % 3 == 0):
            result.breach(f"the reader gets this wrong: {text!r}")


def learners(learned: Texts) -> Iterator[tuple[str, Score]]:
    """Everything that statistics of words can be learned by, by name."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    labels = [number % 3 == 0 for number in range(len(learned))]
    yield "the shortest", lambda judged: np.array([-len(text) for text in judged])
    yield "the longest", lambda judged: np.array([len(text) for text in judged])
    vectors: dict[str, Any] = {
        "bag of words": CountVectorizer(binary=True),
        "bigrams": CountVectorizer(ngram_range=(1, 2), min_df=3),
        "tf-idf": TfidfVectorizer(ngram_range=(1, 2), min_df=3),
        "skip-bigrams": CountVectorizer(analyzer=pairs_of, min_df=5, binary=True),
    }
    for name, vector in vectors.items():
        model = LogisticRegression(max_iter=300).fit(vector.fit_transform(learned), labels)
        yield name, lambda judged, m=model, v=vector: m.decision_function(v.transform(judged))  # type: ignore[misc]
    words = CountVectorizer(binary=True, max_features=300)
    trees = HistGradientBoostingClassifier(max_iter=100)
    trees.fit(words.fit_transform(learned).toarray(), labels)
    yield "boosted trees", lambda judged: trees.predict_proba(words.transform(judged).toarray())[:, 1]


def pairs_of(text: str) -> list[str]:
    """Pairs of words that stand near each other, in their order."""
    words = re.findall(r"\w+", text.lower())
    return [f"{one} {two}" for i, one in enumerate(words) for two in words[i + 1 : i + 1 + WINDOW]]


def picked(score: Score, judged: Texts) -> float:
    """The share of scenarios in which the working one has the highest score; a draw counts by its chance."""
    rows = score(judged).reshape(-1, 3)
    highest = rows == rows.max(axis=1, keepdims=True)
    return float((highest[:, 0] / highest.sum(axis=1)).mean())


TEXTS = Audit(
    "texts", "Word statistics do not tell a working look-alike from a trap; reading does.", texts, learns=True
)
