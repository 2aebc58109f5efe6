"""Vital signs and the early-warning score that follows from them.

Owns the score: the National Early Warning Score (NEWS) 2 of the Royal College of Physicians, London, 2017,
oxygen saturation by scale 1. Must not know patients, orders or an episode. A simulation, not medical advice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

CRITICAL_FROM = 7
"""The score that calls for an emergency response."""

ON_OXYGEN, NOT_ALERT = 2, 3
"""Points for extra oxygen, and for new confusion or less than full consciousness."""

BANDS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "respiratory_rate": ((9, 12, 21, 25), (3, 1, 0, 2, 3)),
    "oxygen_saturation": ((92, 94, 96), (3, 2, 1, 0)),
    "systolic_pressure": ((91, 101, 111, 220), (3, 2, 1, 0, 3)),
    "pulse": ((41, 51, 91, 111, 131), (3, 1, 0, 1, 2, 3)),
    "temperature": ((351, 361, 381, 391), (3, 1, 0, 1, 2)),
}
"""Per vital sign the values at which a new band begins, and the points of each band."""


class Findings(NamedTuple):
    """What was measured on admission.

    Attributes:
        respiratory_rate: Breaths per minute.
        oxygen_saturation: In percent.
        systolic_pressure: In mmHg.
        pulse: Beats per minute.
        temperature: In tenths of a degree Celsius.
        on_oxygen: Whether the patient breathes extra oxygen.
        alert: Whether the patient is fully conscious and not newly confused.
    """

    respiratory_rate: int
    oxygen_saturation: int
    systolic_pressure: int
    pulse: int
    temperature: int
    on_oxygen: bool
    alert: bool

    @property
    def news2(self) -> int:
        """The score, from 0 to 20."""
        return _news2(self)

    @property
    def critical(self) -> bool:
        """Whether the score calls for an emergency response."""
        return self.news2 >= CRITICAL_FROM

    def __str__(self) -> str:
        """As the chart shows them."""
        return (
            f"respiratory rate {self.respiratory_rate}/min, saturation {self.oxygen_saturation}% on "
            f"{'oxygen' if self.on_oxygen else 'air'}, systolic pressure {self.systolic_pressure} mmHg, "
            f"pulse {self.pulse}/min, {self.temperature // 10}.{self.temperature % 10} degrees Celsius, "
            f"{'alert' if self.alert else 'newly confused'}; NEWS2 total {self.news2}"
        )


@lru_cache(1_024)
def _news2(findings: Findings) -> int:
    """Kept, as it is asked for at every step."""
    values = [getattr(findings, name) for name in BANDS]
    return score_of(values, on_oxygen=findings.on_oxygen, alert=findings.alert)


def score_of(values: Iterable[int], *, on_oxygen: bool, alert: bool) -> int:
    """The score of values of the vital signs, in the order of `BANDS`."""
    score = ON_OXYGEN * on_oxygen + NOT_ALERT * (not alert)
    for value, (limits, points) in zip(values, BANDS.values(), strict=True):
        score += points[bisect_right(limits, value)]
    return score


def draw_findings(rng: Random, ranges: Mapping[str, Any], *, critical: bool) -> Findings:
    """Draw findings whose score is critical, or is not.

    Args:
        rng: The scenario's generator.
        ranges: Per vital sign the lowest and the highest value; under `alert` the values it may have.
        critical: What the score has to say.
    """
    while True:
        values = {name: rng.randint(*ranges[name]) for name in BANDS}
        on_oxygen, alert = rng.random() < 1 / 3, rng.choice(ranges["alert"])
        if (score_of(values.values(), on_oxygen=on_oxygen, alert=alert) >= CRITICAL_FROM) is critical:
            return Findings(**values, on_oxygen=on_oxygen, alert=alert)
