"""A model ready to play: its settings, and the way from them to a player for an episode.

Owns the order of steps: start the local model if it is one, open the endpoint, find the call format. Must
not know how each step is done.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

from safeact_env.evaluation.record import Key
from safeact_env.llm.client import EndpointClient, RetryPolicy
from safeact_env.llm.local import serving
from safeact_env.llm.player import EPISODE, Limits, Meter, ModelPlayer
from safeact_env.llm.probe import Wanted, probe
from safeact_env.llm.prompts import Prompt, get_prompt
from safeact_env.llm.settings import Endpoint

__all__ = ["Model", "opened", "sampling_seed"]

SEED_BITS = 31


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its settings.

    Attributes:
        endpoint: The model's endpoint.
        wanted: The call format, or `auto`.
        prompt: The prompt.
        temperature: Sampling temperature.
        limits: Limits of one episode.
        retry: Time limit and retries of one answer.
    """

    endpoint: Endpoint
    wanted: Wanted = "auto"
    prompt: Prompt = field(default_factory=lambda: get_prompt("neutral"))
    temperature: float = 0.0
    limits: Limits = EPISODE
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that affects its play, as JSON, without secrets."""
        return {
            "model": self.endpoint.model,
            "endpoint": self.endpoint.shown,
            **self.endpoint.terms,
            "prompt": self.prompt.name,
            "prompt_version": self.prompt.version,
            "predict": self.prompt.predicts,
            "prompt_sha256": self.prompt.sha256,
            "mode": self.wanted,
            "temperature": self.temperature,
            "window": self.endpoint.window,
            "answer_tokens": self.endpoint.answer,
            "limits": asdict(self.limits),
            "answer_seconds": self.retry.timeout_s,
        }


def sampling_seed(key: Key) -> int:
    """Return the sampling seed of an episode, the same for every model."""
    return Random("/".join(map(str, key[1:5]))).getrandbits(SEED_BITS)


@asynccontextmanager
async def opened(
    model: Model, *, run: Meter | None = None, episodes: int = 1, say: Callable[[str], None] = print
) -> AsyncIterator[Callable[[Key], ModelPlayer]]:
    """Open a model for the block; yields a function that makes a player for an episode.

    Args:
        model: The model.
        run: Counts and limits what all players use together.
        episodes: Episodes at a time.
        say: Called with a message before anything that takes long.

    Raises:
        Unusable: If the model cannot be used.
        Failed: If it does not answer.
    """
    meter = run or Meter(Limits())
    async with AsyncExitStack() as stack:
        endpoint = model.endpoint
        if endpoint.kind == "local":
            endpoint = await stack.enter_async_context(serving(endpoint, episodes, say))
        client = EndpointClient(endpoint, model.retry, temperature=model.temperature)
        await stack.enter_async_context(client)
        call_format = await probe(client, model.wanted, meter, model.prompt.call_formats)

        def player(key: Key) -> ModelPlayer:
            return ModelPlayer(client, call_format, model.prompt, model.limits, meter, sampling_seed(key))

        yield player
