"""Whole episodes at the endpoints of each provider's form, and what must not come of their thoughts."""

import pytest

from safeact_env.evaluation.replay import differences, replayed
from tests.llm.providers import BAD, PROVIDERS
from tests.llm.test_run import expert, selection, sole


def played(provider):
    """A script that answers as the expert, in the provider's form."""
    player = expert(selection())
    return lambda asked: provider.refuse(asked) or provider.answer(asked, player.call(asked))


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
async def test_an_episode_is_played_to_its_end_at_every_providers_endpoint(serve, provider):
    stub = serve(played(provider))
    record = await sole(stub)
    assert (record["score"], record["model"]["unreadable"]) == (1.0, 0)
    assert record["model"]["mode"] == provider.call_format
    assert record["model"]["temperature"] == provider.temperature
    assert BAD["action_name"] not in {call["action_name"] for call in record["calls"]}
    assert not differences(record, replayed(record))


def test_every_provider_names_its_source():
    assert all(provider.source.startswith("https://") for provider in PROVIDERS)
    assert len({provider.name for provider in PROVIDERS}) == len(PROVIDERS)
