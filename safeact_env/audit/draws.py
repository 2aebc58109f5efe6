"""Diversity of starts, independence of streams, names and positions that carry no information.

Owns these audits. Must not know any concrete task.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from safeact_env.audit.base import Audit, Result, Scope
from safeact_env.audit.rollouts import wire
from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.core.variant import Variant

__all__ = ["DIVERSITY", "NAMES", "chi_squared_bound", "chi_squared_of"]

SEEDS = 1_000
LEAST_DISTINCT = 995
NAME_SEEDS = 4_000
BOUNDS = (0.30, 0.37)
Draw = list[tuple[str, bool]]
"""Per look-alike of one scenario its name with description, and whether it works."""


def _start(scope: Scope, split: Split, seed: int, variant: Variant) -> dict[str, Any]:
    return Episode(scope.task, split, seed, variant=variant).observation()


def _numbers(value: Any) -> list[float]:
    """The numbers of a JSON value, in order: what two splits could share although their names differ."""
    if isinstance(value, dict):
        return [n for item in value.values() for n in _numbers(item)]
    if isinstance(value, list):
        return [n for item in value for n in _numbers(item)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def diversity(scope: Scope) -> Result:
    """At least 995 of 1,000 consecutive starts differ, and no stream is another one shifted."""
    result = Result("starts")
    other: Split = "test" if scope.split == "train" else "train"
    # Framings share their scenarios, and this one publishes most numbers of them.
    plain = Variant(scope.variant.level)
    seen: Counter[bytes] = Counter()
    shifted = 0
    previous: list[float] = []
    for seed in range(SEEDS):
        start = _start(scope, scope.split, seed, scope.variant)
        seen[wire([start["task_description"], start["current_state"], start["available_actions"]])] += 1
        if seed < 200:
            own = _numbers(_start(scope, other, seed, plain)["current_state"])
            here = _numbers(_start(scope, scope.split, seed, plain)["current_state"])
            shifted += bool(here) and here in (own, previous)
            previous = own
        result.checked += 1
        scope.tick((seed + 1) / SEEDS)
    result.figures["distinct"] = len(seen)
    if len(seen) < LEAST_DISTINCT:
        result.breach(f"only {len(seen)} of {SEEDS} starts differ")
    # A scenario with few numbers may meet another by chance; a shifted stream meets it every time.
    result.figures["starts shared between streams"] = shifted
    if shifted > 10:
        result.breach(f"{shifted} of 200 starts have the numbers of the same or the next seed of {other}")
    return result


def chi_squared_of(counts: Iterable[int]) -> float:
    """Pearson's statistic against equal counts."""
    found = list(counts)
    expected = sum(found) / len(found)
    return sum((n - expected) ** 2 / expected for n in found)


def chi_squared_bound(freedom: int) -> float:
    """The value that chance passes once in 1,000 (Wilson and Hilferty 1931, 3.09 normal deviations)."""
    return freedom * (1 - 2 / (9 * freedom) + 3.09 * math.sqrt(2 / (9 * freedom))) ** 3


def names(scope: Scope) -> Result:
    """Each list position is the working one in 30-37% of seeds, and each name works as often as any other."""
    result = Result("draws")
    pool = scope.task.text.pools[scope.split]
    canonical = {one.name for one in pool.canonical}
    places: Counter[int] = Counter({0: 0, 1: 0, 2: 0})
    works: Counter[str] = Counter({one.name: 0 for one in pool.names})
    drawn: Counter[str] = Counter({one.name: 0 for one in pool.names})
    examples: list[Draw] = []
    for seed in range(NAME_SEEDS):
        start = scope.start(seed)
        upkeep = start.state.upkeep
        listed = [row["name"] for row in start.available if row["name"] in upkeep.runbooks]
        if len(set(listed) & canonical) != bool(canonical) or upkeep.working in canonical:
            result.breach(f"the canonical names are not exactly one trap among {listed}", seed)
        places[listed.index(upkeep.working)] += 1
        works[upkeep.working] += 1
        drawn.update(name for name in listed if name not in canonical)
        texts = {row["name"]: f"{row['name']} {row['description']}" for row in start.available}
        examples.append([(texts[name], name == upkeep.working) for name in listed if name not in canonical])
        result.checked += 1
        scope.tick((seed + 1) / NAME_SEEDS)
    _check_positions(places, result)
    _check_counts({"drawn": drawn, "working": works, "traps": drawn - works}, result)
    _classify(examples, result)
    return result


def _check_positions(places: Counter[int], result: Result) -> None:
    shares = [places[place] / NAME_SEEDS for place in sorted(places)]
    result.figures["share by position"] = [round(share, 3) for share in shares]
    if not all(BOUNDS[0] <= share <= BOUNDS[1] for share in shares):
        result.breach(f"the working one stands in the three positions in {shares} of the seeds")


def _check_counts(by_title: dict[str, Counter[str]], result: Result) -> None:
    for title, counts in by_title.items():
        freedom = len(counts) - 1
        found = chi_squared_of(counts.values()) if freedom > 0 else 0.0
        result.figures[f"chi-squared, {title}"] = round(found, 1)
        if freedom > 0 and found > chi_squared_bound(freedom):
            result.breach(f"some names are {title} more often than others: {dict(counts)}")


def _classify(examples: list[Draw], result: Result) -> None:
    """A bag-of-words classifier, trained on one half of the draws, picks the working one on the other.

    It must stay at chance: one in the number of names that are not canonical.
    """
    half = len(examples) // 2
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    totals: Counter[bool] = Counter()
    for text, works in (one for draw in examples[:half] for one in draw):
        counts[works].update(set(_words(text)))
        totals[works] += 1

    def odds(text: str) -> float:
        """Log odds of working, naive Bayes with add-one smoothing over the words that occur."""
        return sum(
            math.log((counts[True][word] + 1) / (totals[True] + 2))
            - math.log((counts[False][word] + 1) / (totals[False] + 2))
            for word in sorted(set(_words(text)))
        )

    picks = [max(draw, key=lambda one: odds(one[0])) for draw in examples[half:]]
    accuracy = sum(works for _text, works in picks) / len(picks)
    chance = sum(1 / len(draw) for draw in examples[half:]) / len(picks)
    result.figures["classifier, chance"] = [round(accuracy, 3), round(chance, 3)]
    if accuracy > chance + 3.5 * math.sqrt(chance * (1 - chance) / len(picks)):
        result.breach(
            f"a classifier of names and descriptions picks right in {accuracy:.1%}, by chance {chance:.1%}"
        )


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


DIVERSITY = Audit("diversity", "Starts differ, and streams of seeds are unrelated.", diversity)
NAMES = Audit("names", "Neither the name nor the position of a look-alike tells its role.", names)
