"""A scripted endpoint, and a machine on which no model is configured."""

from contextlib import ExitStack

import pytest

from safeact_env.llm import client
from safeact_env.llm.settings import Endpoint, LLMSettings
from tests.llm.stub import KEY, MODEL, Stub


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path):
    for name in LLMSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    # No .env lies there.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def serve():
    """Starts an endpoint with a script; `endpoint_at` makes its address an endpoint."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(Stub(script).running())


def endpoint_at(stub: Stub, **more) -> Endpoint:
    return Endpoint("openai", **{"model": MODEL, "url": f"{stub.url}/v1", "key": KEY, **more})
