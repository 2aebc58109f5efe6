"""What a model used: tokens, answers, time, and money where prices are told.

Owns the sums. Must not know what a token is, nor who sells it: a record says what was used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import fsum, isfinite
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Cost", "Part", "Prices", "ReportError", "Usage", "cost_of", "usage", "usage_of"]

MILLION = 1_000_000


class ReportError(ValueError):
    """A report that cannot be used, with a sentence that says why and what to do."""


class Part(BaseModel):
    """A part of a report: nothing else in it, and of exactly these types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Prices(Part):
    """What a million tokens cost, in any one currency.

    Attributes:
        tokens_in: Of those that the model read.
        tokens_out: Of those that it wrote.
    """

    tokens_in: float = Field(ge=0, allow_inf_nan=False)
    tokens_out: float = Field(ge=0, allow_inf_nan=False)


class Cost(Part):
    """What a model used in all episodes together, as its records have it.

    Attributes:
        model_calls: Answers asked of the model.
        tokens_in: Tokens that it read.
        tokens_out: Tokens that it wrote.
        seconds: Time waited for its answers.
        prices: What a million tokens cost, if that was told.
        money: Tokens times prices; `None` without prices.
    """

    model_calls: int
    tokens_in: int
    tokens_out: int
    seconds: float
    prices: Prices | None = None
    money: float | None = None


class Usage(NamedTuple):
    """What a model used in one episode.

    Attributes:
        waits: Seconds waited for each of its answers.
        tokens_in: Tokens that it read.
        tokens_out: Tokens that it wrote.
    """

    waits: list[float]
    tokens_in: int
    tokens_out: int


def usage_of(record: Mapping[str, Any]) -> Usage:
    """What a model used in one episode, as its record says.

    Raises:
        ReportError: If it does not say so.
    """
    try:
        used = record["model"]
        waits = [_number(wait) for wait in used["latency_s"]]
        return Usage(waits, _whole(used["tokens_in"]), _whole(used["tokens_out"]))
    except (KeyError, TypeError, ValueError):
        where = "{task}, seed {seed}, attempt {attempt}".format_map(record)
        raise ReportError(
            f"{where}: the record does not say what the model used; its part `model` needs tokens_in, "
            "tokens_out, and latency_s with the seconds of every answer."
        ) from None


def cost_of(records: Iterable[Mapping[str, Any]], prices: Prices | None) -> Cost:
    """What a model used: the sums over its records.

    Raises:
        ReportError: If a record does not say what its model used.
    """
    used = [usage_of(record) for record in records]
    waits = [wait for one in used for wait in one.waits]
    return usage(waits, sum(one.tokens_in for one in used), sum(one.tokens_out for one in used), prices)


def usage(waits: Sequence[float], tokens_in: int, tokens_out: int, prices: Prices | None) -> Cost:
    """What was used, from its sums.

    Args:
        waits: Seconds waited for each answer.
        tokens_in: Tokens that were read.
        tokens_out: Tokens that were written.
        prices: What they cost, if that was told.
    """
    money = None
    if prices is not None:
        spent = tokens_in * prices.tokens_in + tokens_out * prices.tokens_out
        money = round(spent / MILLION, 6)
    return Cost(
        model_calls=len(waits),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        seconds=round(fsum(waits), 3),
        prices=prices,
        money=money,
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError("not an amount")
    return float(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("not a whole number")
    return int(_number(value))
