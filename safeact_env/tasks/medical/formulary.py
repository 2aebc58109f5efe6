"""The drug table: dosing rules by weight, and what a drug must not meet in a chart.

Must not know patients, orders or an episode. A simulation, not medical advice: each rule in the data names
its public source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Band:
    """The dose in one range of weights: a fixed one, or one per kg with an upper limit.

    Attributes:
        below_kg: The band holds below this weight in kg; `None` for all weights that are left.
        mg: Fixed dose in mg, used where `mcg_per_kg` is 0.
        mcg_per_kg: Dose in micrograms per kg, so that the arithmetic stays with integers.
        max_mg: Upper limit of the dose in mg, if there is one.
    """

    below_kg: int | None = None
    mg: int = 0
    mcg_per_kg: int = 0
    max_mg: int | None = None

    def dose_mg(self, weight_kg: int) -> int:
        """The dose in whole mg, rounded half up."""
        dose = (self.mcg_per_kg * weight_kg + 500) // 1000 if self.mcg_per_kg else self.mg
        return dose if self.max_mg is None else min(dose, self.max_mg)


@dataclass(frozen=True, slots=True)
class Contraindication:
    """One chart entry that rules a drug out: exactly one of `allergy` and `current_drug` is set.

    Attributes:
        why: The reason, in a sentence or two.
        source: Title and section of the public document that says so.
        allergy: An entry of the chart's allergies.
        current_drug: An entry of the chart's current drugs.
    """

    why: str
    source: str
    allergy: str | None = None
    current_drug: str | None = None


@dataclass(frozen=True, slots=True)
class Drug:
    """One drug of the table.

    Attributes:
        name: As it stands in an order.
        rule: The dosing rule in words.
        source: Title and section of the public document the rule is from.
        bands: The rule in numbers; the first band that fits holds, and the last one fits every weight.
        contraindications: At least one.
    """

    name: str
    rule: str
    source: str
    bands: tuple[Band, ...]
    contraindications: tuple[Contraindication, ...]

    def dose_mg(self, weight_kg: int) -> int:
        """The right dose in whole mg for a weight in kg."""
        band = next(band for band in self.bands if band.below_kg is None or weight_kg < band.below_kg)
        return band.dose_mg(weight_kg)


def read_formulary(data: Mapping[str, Any]) -> dict[str, Drug]:
    """The drugs by name, from the table `drugs` of the data file."""
    return {
        name: Drug(
            name,
            row["rule"],
            row["source"],
            tuple(Band(**band) for band in row["dose"]),
            tuple(Contraindication(**one) for one in row["contraindications"]),
        )
        for name, row in data.items()
    }
