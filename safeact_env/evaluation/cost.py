"""What a model used: tokens, answers, time, and money if prices are given.

Owns the sums. Must not know what a token is, nor who sells it: a record says what was used.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from safeact_env.evaluation.record import Key

__all__ = ["Cost", "Part", "Prices", "ReportError", "Usage", "cost_of", "usage", "usage_of"]

MILLION = 1_000_000
MOST_TOKENS = 10**12
"""Most tokens that a record of one episode may say were used."""
MOST_SECONDS = 10**9
"""Longest wait for one answer that a record may say."""
HIGHEST_PRICE = 10**9


class ReportError(ValueError):
    """A report that cannot be used. The message says why, and what to do."""


class Part(BaseModel):
    """A part of a report, with exactly these fields and types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Prices(Part):
    """Prices of a million tokens, in any one currency.

    Attributes:
        tokens_in: Price of tokens that the model reads.
        tokens_out: Price of tokens that it writes.
    """

    tokens_in: float = Field(ge=0, le=HIGHEST_PRICE, allow_inf_nan=False)
    tokens_out: float = Field(ge=0, le=HIGHEST_PRICE, allow_inf_nan=False)


class Cost(Part):
    """What a model used in all episodes together, according to its records.

    Attributes:
        model_calls: Answers of the model.
        tokens_in: Tokens that it read.
        tokens_out: Tokens that it wrote.
        seconds: Time waited for its answers.
        prices: Prices of a million tokens, if given.
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
    """Return what a model used in one episode, according to its record.

    Raises:
        ReportError: If the record does not say.
    """
    try:
        used = record["model"]
        if not isinstance(used["latency_s"], list):
            raise TypeError("not a list")
        waits = [_seconds(wait) for wait in used["latency_s"]]
        return Usage(waits, _tokens(used["tokens_in"]), _tokens(used["tokens_out"]))
    except (KeyError, TypeError, ValueError):
        raise ReportError(
            f"{Key.of(record).place}: the record does not say what the model used; its part `model` needs "
            f"tokens_in and tokens_out, at most {MOST_TOKENS} each, and latency_s with the seconds of every "
            f"answer, at most {MOST_SECONDS} each."
        ) from None


def cost_of(records: Iterable[Mapping[str, Any]], prices: Prices | None) -> Cost:
    """Sum what a model used over its records.

    Raises:
        ReportError: If a record does not say what its model used.
    """
    used = [usage_of(record) for record in records]
    waits = [wait for one in used for wait in one.waits]
    return usage(waits, sum(one.tokens_in for one in used), sum(one.tokens_out for one in used), prices)


def usage(waits: Sequence[float], tokens_in: int, tokens_out: int, prices: Prices | None) -> Cost:
    """Compute the cost from the sums of one or more episodes.

    Args:
        waits: Seconds waited for each answer.
        tokens_in: Tokens read.
        tokens_out: Tokens written.
        prices: Prices of a million tokens, if given.
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


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= MOST_SECONDS:
        raise ValueError("not a time")
    return float(value)


def _tokens(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise ValueError("not a number of tokens")
    return value
