"""SafeAct-Env as an environment class for libraries that make OpenEnv environments in their own process.

Owns a class with OpenEnv's shape, and what its observations show. NeMo Gym's `openenv` resources server
(nemo-gym 0.4) is given its name: it calls `reset(**reset_kwargs)`, then `step(action)`, sums the rewards, and
hands the model `observation.model_dump()`. So the reward is an attribute here, and not in the dump. The model
keeps what it was handed before: after the first, an observation holds what the step changed, unless the reset
asks for the view `full`.
"""

from typing import Any

from safeact_env.core.episode import Episode, EpisodeDone
from safeact_env.core.observation import VIEWS, View
from safeact_env.core.task import Split
from safeact_env.core.variant import DEFAULT, Framing
from safeact_env.integrations.text import checked, fresh_seed
from safeact_env.models import SafeActAction, SafeActObservation
from safeact_env.tasks import get_task

__all__ = ["Seen", "SilentEnvironment"]


class Seen(SafeActObservation):
    """An observation that keeps its reward to itself."""

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Dump as pydantic does, without `reward`, and in the view `changes` without what is empty there."""
        shown = super().model_dump(**options)
        shown.pop("reward", None)
        if not self.available_actions:
            # To a model an empty list would say that it can do nothing more.
            shown.pop("task_description", None)
            shown.pop("available_actions", None)
        return shown


class SilentEnvironment:
    """One episode after another, in this process."""

    def __init__(self) -> None:
        self._episode: Episode[Any] | None = None
        self._view: View = "changes"

    def reset(
        self,
        task_name: str = "easy",
        split: Split = "train",
        seed: int | None = None,
        level: int = DEFAULT.level,
        framing: Framing = DEFAULT.framing,
        view: View = "changes",
    ) -> Seen:
        """Start an episode.

        Args:
            task_name: Name of the task.
            split: Split of the scenario.
            seed: Seed of the scenario; without one a fresh seed is drawn.
            level: How large the job is, 1 to 5.
            framing: The words around it.
            view: `changes`, or `full` for whole observations.

        Raises:
            ValueError: If there is no such scenario or view.
        """
        if view not in VIEWS:
            raise ValueError(f"view must be {' or '.join(VIEWS)}")
        seed = fresh_seed() if seed is None else seed
        task, split, seed, variant = checked(task_name, split, seed, level, framing)
        self._episode, self._view = Episode(get_task(task), split, seed, variant=variant), view
        return self._seen()

    def step(self, action: SafeActAction) -> Seen:
        """Take a step.

        Raises:
            ValueError: If no episode has been started, or it is over.
        """
        if self._episode is None:
            raise ValueError("no episode has been started; reset first")
        try:
            self._episode.step(action.call())
        except EpisodeDone as error:
            raise ValueError(str(error)) from None
        return self._seen()

    def close(self) -> None:
        """Drop the episode."""
        self._episode = None

    def _seen(self) -> Seen:
        assert self._episode is not None
        return Seen.model_validate(self._episode.observation(self._view))
