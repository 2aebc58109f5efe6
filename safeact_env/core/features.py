"""Feature extractors: what a numeric encoding of a task's observations picks out of them.

Owns their form. An extractor sees observations, never facts; it compares what is shown (a dose
with the right dose, a row's port with the work order's) and says nothing about risk.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safeact_env.core.playbook import Observation

__all__ = ["FeatureExtractor"]

Offers = Callable[[Observation, str, str, Mapping[str, Any]], list[Any] | None]
Compare = Callable[[Observation, Mapping[str, Any]], Mapping[str, float]]


def _nothing(_obs: Observation, _params: Mapping[str, Any]) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class FeatureExtractor:
    """What the numeric encoding of a task's observations tells of a call and of the job.

    Attributes:
        rows: Most rows of its grid on the default level; 0 to measure scenarios instead, as on the others.
        words: Per field of a record the words that matter; other text counts as text and nothing more.
        offers: From (observation, action, parameter, earlier parameters), the values to choose from, or
            `None` for those that the published schema names. The answer may change only when `offered` does.
        offered: What in `current_state` the offers depend on.
        notes: Names of the comparisons of a row.
        compare: From (observation, parameters of a row), those that hold, by name, each in [-1, 1].
        job_notes: Names of the comparisons of the whole job.
        job: From (observation, {}), those that hold, likewise.
    """

    rows: int = 0
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    offers: Offers = lambda *_: None
    offered: Callable[[Observation], Hashable] = lambda _obs: None
    notes: tuple[str, ...] = ()
    compare: Compare = _nothing
    job_notes: tuple[str, ...] = ()
    job: Compare = _nothing
