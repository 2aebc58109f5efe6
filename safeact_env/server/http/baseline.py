"""Baseline runs: a reference policy, or the model that the operator configured, plays tasks and seeds.

Owns the list of agents, and what a client learns of an error. Must not know routes. Everything that plays a
model is imported on the first run, so that it does not slow down the start of the server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from safeact_env.core.task import Task
from safeact_env.core.variant import Variant
from safeact_env.models import BaselineEpisode, BaselineRequest, BaselineResponse
from safeact_env.policies.reference import POLICIES, play
from safeact_env.server.settings import Settings
from safeact_env.sessions.errors import SessionError

if TYPE_CHECKING:
    from safeact_env.evaluation.record import Key
    from safeact_env.llm.model import Model
    from safeact_env.llm.run import Outcome, Watcher

MODEL_AGENT = "llm"
"""The agent that stands for the configured model."""
CONCURRENCY = 4
"""Episodes that a model plays at a time."""

FAULT = "a fault of the server; its log says more"
UNUSABLE = "the model of this server cannot be used; the server's log says why"
SILENT = "the model did not answer; the server's log says more"
REFUSED = "the model's endpoint refused to answer; the server's log says more"

LOG = logging.getLogger(__name__)


def check_agent(name: str) -> None:
    """Refuse an unknown agent.

    Raises:
        SessionError: `unknown_agent`.
    """
    if name not in POLICIES and name != MODEL_AGENT:
        known = ", ".join((*POLICIES, MODEL_AGENT))
        raise SessionError("unknown_agent", f"unknown agent; the agents are {known}")


def run_baseline(request: BaselineRequest, tasks: Sequence[Task[Any]]) -> BaselineResponse:
    """Play a reference policy on every task and seed, one episode after the other."""
    episodes, errors = [], {}
    variant = Variant(request.level, request.framing)
    for task in tasks:
        try:
            for seed in request.seeds:
                grade = play(task, request.split, seed, request.agent, variant=variant).grade()
                episodes.append(_episode(task.name, seed, request.split, variant, grade.to_json()))
        except Exception:
            # A task that fails, perhaps another package's, must not cost the other tasks their scores.
            LOG.exception("baseline: %s on %s", request.agent, task.name)
            errors[task.name] = FAULT
    return _response(request, tasks, episodes, errors)


async def run_model(
    request: BaselineRequest, tasks: Sequence[Task[Any]], settings: Settings
) -> BaselineResponse:
    """Play the configured model on every task and seed, several episodes at a time, until the deadline.

    Raises:
        SessionError: `llm_not_configured`.
    """
    # Reading the settings and importing the client library would block the event loop.
    model = await asyncio.to_thread(_model, settings)
    from safeact_env.llm.errors import LLMError
    from safeact_env.llm.run import Outcome

    outcome = Outcome()
    episodes: list[BaselineEpisode] = []
    watcher = _watcher(episodes.append)
    problem: str | None = None
    try:
        async with asyncio.timeout(settings.baseline_seconds):
            await _play_model(model, request, tasks, outcome, watcher)
    except TimeoutError:
        problem = f"the deadline of {settings.baseline_seconds:g} s passed before every episode had ended"
    except LLMError as error:
        LOG.warning("baseline: %s", error)
        problem = UNUSABLE
    errors = {key.task: told for key, told in outcome.errors.items()}
    for task in tasks:
        if sum(episode.task_name == task.name for episode in episodes) < len(request.seeds):
            errors.setdefault(task.name, problem or SILENT)
    response = _response(request, tasks, episodes, errors)
    response.model = model.endpoint.model
    return response


def _model(settings: Settings) -> Model:
    """The configured model. Also imports everything that plays it."""
    import openai  # noqa: F401  # imported here, off the event loop

    import safeact_env.llm.run  # noqa: F401  # likewise
    from safeact_env.llm.errors import Unusable
    from safeact_env.llm.model import Model
    from safeact_env.llm.settings import LLMSettings, endpoint_of

    try:
        endpoint = endpoint_of(LLMSettings.load())
    except Unusable as error:
        raise SessionError("llm_not_configured", f"{error} This is for the server's operator.") from None
    if endpoint.kind == "local" and not settings.baseline_local_model:
        raise SessionError(
            "llm_not_configured",
            "no model is configured on this server: its operator sets OPENAI_API_KEY or HF_TOKEN, MODEL_NAME "
            "and, where needed, API_BASE_URL; or SAFEACT_BASELINE_LOCAL_MODEL=true for the local one",
        )
    return Model(endpoint)


async def _play_model(
    model: Model, request: BaselineRequest, tasks: Sequence[Task[Any]], outcome: Outcome, watcher: Watcher
) -> None:
    from safeact_env.evaluation.run import Selection
    from safeact_env.llm.backends import LocalBackend
    from safeact_env.llm.errors import Failed, LLMError, Refused
    from safeact_env.llm.model import opened
    from safeact_env.llm.run import Playing, play_selection

    names = tuple(task.name for task in tasks)
    selection = Selection(
        (MODEL_AGENT,),
        names,
        (request.split,),
        tuple(request.seeds),
        variants=(Variant(request.level, request.framing),),
    )
    async with opened(model, episodes=CONCURRENCY, say=LOG.info) as player:
        play_one = Playing(player, LocalBackend, watcher)

        async def play_kept(key: Key) -> dict[str, Any]:
            try:
                return await play_one(key)
            except Failed as error:
                LOG.warning("baseline: %s, seed %d: %s", key.task, key.seed, error)
                raise (Refused(REFUSED) if isinstance(error, Refused) else Failed(SILENT)) from None
            except LLMError:
                raise
            except Exception:
                LOG.exception("baseline: %s, seed %d", key.task, key.seed)
                raise Failed(FAULT) from None

        await play_selection(selection, play_kept, concurrency=CONCURRENCY, outcome=outcome)


def _watcher(keep: Callable[[BaselineEpisode], None]) -> Watcher:
    from safeact_env.llm.run import Watcher

    class Keeper(Watcher):
        """Keeps the part of every record that belongs in the answer."""

        def ended(self, key: Key, record: Mapping[str, Any] | None) -> None:
            if record is not None:
                keep(_episode(key.task, key.seed, key.split, key.variant, record))

    return Keeper()


def _episode(
    task: str, seed: int, split: str, variant: Variant, graded: Mapping[str, Any]
) -> BaselineEpisode:
    """An episode in the answer, from a grade as JSON."""
    return BaselineEpisode(
        task_name=task,
        seed=seed,
        split=split,
        level=variant.level,
        framing=variant.framing,
        score=graded["score"],
        outcome=graded["outcome"],
        steps=graded["steps"],
    )


def _response(
    request: BaselineRequest,
    tasks: Sequence[Task[Any]],
    episodes: list[BaselineEpisode],
    errors: dict[str, str],
) -> BaselineResponse:
    scores: dict[str, float | None] = {}
    for task in tasks:
        own = [episode.score for episode in episodes if episode.task_name == task.name]
        scores[task.name] = round(sum(own) / len(own), 4) if own else None
    order = {task.name: number for number, task in enumerate(tasks)}
    episodes = sorted(episodes, key=lambda one: (order[one.task_name], request.seeds.index(one.seed)))
    return BaselineResponse(agent=request.agent, scores=scores, episodes=episodes, errors=errors)
