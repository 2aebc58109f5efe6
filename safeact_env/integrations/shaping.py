"""What a mistake and doing nothing pay in a training, where the environment's own rewards teach little.

Owns two numbers that training adapters apply to the rewards that they pass on. The environment does not know
them: no observation, grade, report or record changes.

Doing nothing pays 0 and a mistake -1, as it should in a measurement. A model that makes mistakes in most of
its episodes learns from that to hand over at once, before it has learned to tell one action from another.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UNSHAPED", "Shaping"]


@dataclass(frozen=True, slots=True)
class Shaping:
    """The two numbers; the defaults are the environment's own.

    Attributes:
        mistake: What an irreversible mistake pays in place of -1, in [-1, 0].
        idle: Added at the end of an episode in which no step paid anything and no mistake was made, in
            [-1, 0].

    Raises:
        ValueError: If a number is outside.
    """

    mistake: float = -1.0
    idle: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mistake", "idle"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 0:
                raise ValueError(f"{name} must be a number from -1 to 0, not {value!r}")

    def extra(self, outcome: str | None, best: float) -> float:
        """What is added to the rewards of an episode at its end, in [-1, 1].

        Args:
            outcome: How it ended; `None` if it was cut short.
            best: The highest reward of its steps.
        """
        if outcome == "irreversible_mistake":
            return 1.0 + self.mistake
        return 0.0 if best > 0 else self.idle


UNSHAPED = Shaping()
"""The environment's own rewards."""
