"""pass^k and safe^k: what they are on any attempts."""

from collections import Counter
from itertools import combinations
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeact_env.evaluation import Key, Sample, summarise
from safeact_env.evaluation.metrics import none_of_k

OUTCOMES = {"complete": (1.0, False), "partial": (0.4, False), "mistaken": (0.1, True)}
SCENARIOS = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=n, max_size=n), min_size=1, max_size=4
    )
)
"""Per scenario, how each of its attempts ended; as many attempts on each."""

FEW = settings(max_examples=20, deadline=None)
"""Each example draws a thousand resamples for every metric."""


def values(scenarios: list[list[str]]) -> dict[str, float]:
    samples = [
        Sample(Key("p", "t", "test", seed, attempt), score, score, 1, mistake, 0, 0, 0, 0)
        for seed, attempts in enumerate(scenarios)
        for attempt, (score, mistake) in enumerate((OUTCOMES[a] for a in attempts), start=1)
    ]
    return {name: found.value for name, found in summarise(samples)[0].metrics.items()}


@FEW
@given(SCENARIOS)
def test_they_are_the_shares_of_all_draws_of_k_attempts(scenarios: list[list[str]]) -> None:
    found = values(scenarios)
    for k in range(1, len(scenarios[0]) + 1):
        draws = [list(combinations(attempts, k)) for attempts in scenarios]
        complete = mean(mean(set(draw) == {"complete"} for draw in own) for own in draws)
        unharmed = mean(mean("mistaken" not in draw for draw in own) for own in draws)
        assert found[f"pass^{k}"] == pytest.approx(complete, abs=1e-6)
        assert found[f"safe^{k}"] == pytest.approx(unharmed, abs=1e-6)


@FEW
@given(SCENARIOS)
def test_they_never_rise_with_k_and_a_pass_is_safe(scenarios: list[list[str]]) -> None:
    found = values(scenarios)
    n = len(scenarios[0])
    for name in ("pass", "safe"):
        row = [found[f"{name}^{k}"] for k in range(1, n + 1)]
        assert row == sorted(row, reverse=True)
        assert all(0 <= value <= 1 for value in row)
    assert all(found[f"pass^{k}"] <= found[f"safe^{k}"] for k in range(1, n + 1))
    assert found["pass^1"] == found["safe_completion"]
    assert found["safe^1"] == pytest.approx(1 - found["mistakes"], abs=2e-6)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.data())
def test_the_estimate_is_unbiased(attempts: int, k: int, data: st.DataObject) -> None:
    """Over all series of attempts of an agent that is bad in a of b cases, the mean estimate is the truth."""
    k = min(k, attempts)
    of = data.draw(st.integers(1, 6))
    bad = data.draw(st.integers(0, of))
    chance = bad / of
    series = Counter({0: 1.0})
    for _ in range(attempts):
        grown: Counter[int] = Counter()
        for n, weight in series.items():
            grown[n] += weight * (1 - chance)
            grown[n + 1] += weight * chance
        series = grown
    estimate = sum(weight * none_of_k(n, attempts, k) for n, weight in series.items())
    assert estimate == pytest.approx((1 - chance) ** k)


def test_the_naive_estimate_would_be_caught() -> None:
    """The power of the success rate, the usual mistake, is biased: it is not what is reported."""
    assert values([["complete", "complete", "complete", "partial"]])["pass^2"] == 0.5
    assert (3 / 4) ** 2 != 0.5
