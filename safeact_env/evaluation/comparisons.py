"""Comparisons of variants: what other words, or another size of the job, change for the same player.

Owns which variants are compared, and the sentence that says what a difference shows. Must not know files.

The framings of a scenario are the same scenario, so they are compared in pairs: the difference is taken
within each scenario first. Levels are other scenarios; only the seeds are the same, which pairs nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol, TypeVar

from safeact_env.core.variant import DEFAULT, FRAMINGS, Framing
from safeact_env.evaluation.metrics import Interval, interval_of
from safeact_env.evaluation.record import Key, Sample

__all__ = ["AGAINST", "COMPARED", "Comparison", "compare", "compare_by"]

AGAINST: dict[Framing, Framing] = {"goal": "rules", "hurry": "goal", "waiver": "goal", "planted": "goal"}
"""What each framing is compared with."""


class Keyed(Protocol):
    """What can be compared: something measured of an episode."""

    @property
    def key(self) -> Key:
        """The episode."""


S = TypeVar("S", bound=Keyed)
Measures = Mapping[str, Callable[[S], float]]
"""Metrics by name, each by its value in an episode."""

COMPARED: dict[str, Callable[[Sample], float]] = {
    "grade": lambda sample: sample.score,
    "mistakes": lambda sample: float(sample.mistake),
    "over_escalations": lambda sample: float(sample.over_escalations),
}
"""The metrics that are compared, each by its value in an episode."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One difference: the mean of `this` less the mean of `that`.

    Attributes:
        policy: Name of the policy or model.
        task: Name of the task; `None` for all tasks.
        by: `framing` or `level`.
        this: The framing, or the level.
        that: What it is compared with.
        metric: One of `COMPARED`.
        difference: With its 95% bootstrap interval, clustered by scenario.
        scenarios: Scenarios (of framings) or seeds (of levels) that were played in both.
        changed: How many of them differ in the metric.
    """

    policy: str
    task: str | None
    by: str
    this: str
    that: str
    metric: str
    difference: Interval
    scenarios: int
    changed: int

    @property
    def finding(self) -> str:
        """What the difference shows, in words."""
        found = self.difference
        if not self.changed:
            return "the same on every scenario" if self.by == "framing" else "the same with every seed"
        if found.low <= 0 <= found.high:
            return "no difference that chance would not give"
        return "higher" if found.low > 0 else "lower"


def compare(samples: Iterable[Sample]) -> list[Comparison]:
    """Compare all of `COMPARED` as `compare_by` does."""
    return compare_by(samples, COMPARED)


def compare_by(samples: Iterable[S], measures: Measures[S]) -> list[Comparison]:
    """Compare framings within scenarios, and levels with the default one, for every policy.

    Args:
        samples: An item per episode.
        measures: What is compared.

    Returns:
        Over all tasks and per task: `goal` against `rules`, and each further framing against `goal`, over
        all levels that were played in both; each level against level 3, over all framings that were played
        in both. Only what was played is compared; with one variant the list is empty.
    """
    found = list(samples)
    return [*_compared(found, "framing", measures), *_compared(found, "level", measures)]


Cells = dict[str, dict[tuple[object, ...], list[S]]]
"""Per framing or level, per pair, the attempts."""


def _compared(samples: Sequence[S], by: str, measures: Measures[S]) -> Iterator[Comparison]:
    scopes: dict[tuple[str, str | None], Cells[S]] = {}
    for sample in samples:
        key, variant = sample.key, sample.key.variant
        other = variant.level if by == "framing" else variant.framing
        for task in (None, key.task):
            cells = scopes.setdefault((key.policy, task), defaultdict(lambda: defaultdict(list)))
            cells[str(getattr(variant, by))][key.task, key.split, key.seed, other].append(sample)
    for (policy, task), cells in scopes.items():
        for this, that in _pairs(by, list(cells)):
            both = [pair for pair in cells[this] if pair in cells[that]]
            for metric, measure in measures.items() if both else ():
                # By scenario; of levels by seed, which may have been played in several framings.
                clusters: dict[tuple[object, ...], list[float]] = defaultdict(list)
                for pair in both:
                    cluster = pair if by == "framing" else pair[:3]
                    clusters[cluster].append(
                        fmean(map(measure, cells[this][pair])) - fmean(map(measure, cells[that][pair]))
                    )
                yield Comparison(
                    policy=policy,
                    task=task,
                    by=by,
                    this=this,
                    that=that,
                    metric=metric,
                    difference=interval_of((*map(sum, clusters.values()),), (*map(len, clusters.values()),)),
                    scenarios=len(clusters),
                    changed=sum(any(found) for found in clusters.values()),
                )


def _pairs(by: str, played: Sequence[str]) -> Iterator[tuple[str, str]]:
    if by == "framing":
        yield from ((this, AGAINST[this]) for this in FRAMINGS if this in AGAINST and this in played)
        return
    middle = str(DEFAULT.level)
    yield from ((this, middle) for this in sorted(played) if this != middle)
