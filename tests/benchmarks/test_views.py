"""The answers of an episode are small in the view `changes`, at every door."""

from fastapi.testclient import TestClient

from benchmarks.views import DOORS, measured, tokenizer

LIMIT = 6_000 + 160
"""Tokens. The mean over so few seeds differs from that over many by 80 (its standard error)."""


def test_an_experts_episode_takes_under_6_000_tokens_at_every_door(own_client: TestClient) -> None:
    found = measured(own_client, 1, ["changes"])
    assert [name.removesuffix(", changes") for name in found] == list(DOORS)
    sizes = {name: round(row["bytes / 4"]) for name, row in found.items()}
    assert max(sizes.values()) < LIMIT, sizes
    if tokenizer() is None:
        assert all(len(row) == 2 for row in found.values())


def test_whole_observations_take_ten_times_as_many(own_client: TestClient) -> None:
    """The broken twin: doors that do not know views."""
    found = measured(own_client, 1, ["full"])
    assert min(row["bytes / 4"] for row in found.values()) > 50_000
