"""The OpenEnv environment: one episode per WebSocket session.

Owns the adapter to OpenEnv's interface. Must not know rules: the episode does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from safeact_env._openenv import lightly
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.observation import View
from safeact_env.core.variant import Variant
from safeact_env.ids import fresh_id
from safeact_env.models import ResetRequest, SafeActAction, SafeActObservation, SafeActState
from safeact_env.server.asking import ASKER, own_id
from safeact_env.server.http.errors import readable
from safeact_env.server.mcp.tools import NO_EPISODE, call_tool, tools_of
from safeact_env.server.page.rendering import action_choices, render
from safeact_env.server.responses import observation_of, state_of
from safeact_env.server.websocket.runtime import RUNTIME
from safeact_env.sessions import task_index
from safeact_env.sessions.service import SessionError, start_episode
from safeact_env.version import VERSION

with lightly():
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import EnvironmentMetadata

if TYPE_CHECKING:
    from openenv.core.rubrics import Rubric

    from safeact_env.server.websocket.rubric import EpisodeRubric

DESCRIPTION = (
    "Operations jobs in which some actions cannot be taken back: the agent learns to tell which before "
    "acting. Five tasks, hidden risk, deterministic grades."
)


class NoReset(ValueError):
    """A reset that was refused. The message says what to send instead; the session is unchanged."""


class NoStep(RuntimeError):
    """A step that was refused. The message says why; nothing changed."""


class Toolbox:
    """The tools of an environment, in the form of the connected MCP client that OpenEnv expects."""

    def __init__(self, environment: SafeActEnvironment) -> None:
        self._environment = environment

    def is_connected(self) -> bool:
        """There is nothing to connect to."""
        return True

    async def __aenter__(self) -> Toolbox:
        """The toolbox itself."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing to close."""

    async def list_tools(self) -> list[dict[str, Any]]:
        """The tools of the episode; none before a reset."""
        episode = self._environment.episode
        return [] if episode is None else tools_of(episode)

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool; raises `NoStep` before a reset."""
        environment = self._environment
        if environment.episode is None:
            raise NoStep(NO_EPISODE)
        return call_tool(environment.episode, environment.play, name, arguments, environment.view)


class SafeActEnvironment(Environment[SafeActAction, SafeActObservation, SafeActState]):
    """The environment of one session. The constructor does no work: OpenEnv builds throwaway instances."""

    SUPPORTS_CONCURRENT_SESSIONS = True
    # OpenEnv builds environments in a thread; this makes it one thread for all sessions.
    REQUIRES_SINGLE_THREAD_EXECUTOR = True

    def __init__(self) -> None:
        self._rubric: EpisodeRubric | None = None
        self._episode: Episode[Any] | None = None
        self._id = ""
        self.key = ""
        """Under which whoever started the episode may follow it."""
        self.view: View = "full"
        """The view that the last reset asked for."""
        super().__init__()

    @property
    def rubric(self) -> EpisodeRubric:
        """The tree that grades the episode, made when first asked for; each later `step` applies it."""
        if self._rubric is None:
            from safeact_env.server.websocket.rubric import EpisodeRubric

            self._rubric = EpisodeRubric(lambda: self._episode)
        return self._rubric

    @rubric.setter
    def rubric(self, _given: Rubric | None) -> None:
        """OpenEnv's constructor sets `None` here; the grade has one rubric, and no other can be set."""

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> SafeActObservation:
        """Start an episode.

        Args:
            seed: From 0 to 2^63 - 1; by default a fresh one.
            episode_id: Id to report in the state; by default a random one.
            kwargs: `task_name`, `split`, `index`, `level`, `framing`, `view`, as in `POST /reset`.

        Raises:
            NoReset: If a parameter is not valid.
        """
        observation = observation_of(self.start({"seed": seed, "episode_id": episode_id, **kwargs}))
        if self._rubric is not None:
            self._rubric.reset()
        return observation

    def start(self, given: dict[str, Any]) -> Episode[Any]:
        """Start an episode with these parameters; `None` counts as absent. Raises as `reset` does."""
        runtime = RUNTIME.get()
        if runtime.closed_reason is not None:
            raise NoReset(runtime.closed_reason)
        try:
            runtime.count_reset()
            wanted = ResetRequest.model_validate(
                {name: value for name, value in given.items() if value is not None}
            )
            episode = start_episode(
                wanted.task_name,
                wanted.split,
                wanted.seed,
                wanted.index,
                Variant(wanted.level, wanted.framing),
                closed=runtime.closed_test,
            )
        except ValidationError as error:
            raise NoReset(f"reset: {readable(error)}") from None
        except SessionError as error:
            raise NoReset(f"reset: {error.message}") from None
        self._episode, self._id = episode, wanted.episode_id or fresh_id()
        self.key = own_id(self._id)
        self.view = wanted.view
        runtime.episode_started(self, episode)
        return episode

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any
    ) -> SafeActObservation:
        """As `reset`, on the event loop: an episode starts faster than a thread switch."""
        return self.reset(seed, episode_id, **kwargs)

    def step(
        self, action: SafeActAction, timeout_s: float | None = None, **kwargs: Any
    ) -> SafeActObservation:
        """Take a step.

        Args:
            action: A well-formed action.
            timeout_s: Accepted and ignored.
            kwargs: Not used.

        Raises:
            NoStep: If there is no episode, or it is over.
        """
        observation = observation_of(self.play(action.call()), self.view)
        if self._rubric is not None:
            self._rubric(action, observation)
        return observation

    def play(self, call: Call) -> Episode[Any]:
        """Take a step of the episode. Raises as `step` does; any other exception drops the episode."""
        if self._episode is None:
            raise NoStep(NO_EPISODE)
        if self._episode.done:
            raise NoStep("the episode is over; reset to start another")
        episode = self._episode
        try:
            episode.step(call)
        except Exception:
            # Our own bug left the episode in an unknown state: no later step may build on it.
            self._episode = None
            raise
        RUNTIME.get().observer.stepped(episode)
        return episode

    async def step_async(
        self, action: SafeActAction, timeout_s: float | None = None, **kwargs: Any
    ) -> SafeActObservation:
        """As `step`, on the event loop."""
        return self.step(action, timeout_s, **kwargs)

    @property
    def episode(self) -> Episode[Any] | None:
        """The episode, if one has been started."""
        return self._episode

    @property
    def mcp_client(self) -> Toolbox:
        """The client with which OpenEnv's own handlers list and call tools."""
        return Toolbox(self)

    @property
    def state(self) -> SafeActState:
        """The agent-safe state; empty before the first reset."""
        if self._episode is None:
            return SafeActState()
        drawn = RUNTIME.get().closed_test and self._episode.split == "test"
        return state_of(self._id, self._episode, seed=ASKER.get().token or not drawn)

    def get_metadata(self) -> EnvironmentMetadata:
        """What OpenEnv shows about the environment."""
        return EnvironmentMetadata(
            name="safeact-env", description=DESCRIPTION, version=VERSION, author="SafeAct-Env contributors"
        )

    def render_web(self, observation: dict[str, Any]) -> str | None:
        """The observation as HTML."""
        if self._episode is None:
            return None
        return render(observation, {part.name: part.about for part in self._episode.task.graded})

    def web_actions(self, observation: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        """Calls to click on, with their labels."""
        if self._episode is None:
            return []
        task = self._episode.task
        return action_choices(observation, task.schemas, task.escalation.name)

    def list_splits(self) -> list[dict[str, Any]]:
        """The splits with their sizes."""
        return task_index.splits()

    def num_tasks(self, split: str) -> int:
        """Number of tasks of a split; raises `IndexError` if there is no such split."""
        return task_index.size(split)

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """The task of an index; raises `IndexError` if there is none."""
        return task_index.numbered(split, index)

    def get_task_range(
        self, split: str, start: int | None = None, stop: int | None = None
    ) -> list[dict[str, Any]]:
        """Tasks of a slice, at most 1,000 of them."""
        return task_index.listed(split, start, stop)

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """The first 1,000 tasks of a split; `num_tasks` tells how many there are."""
        return task_index.listed(split)
