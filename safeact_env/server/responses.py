"""Episodes as JSON: observations, answers, states, grades, task cards.

Owns the JSON of answers. Must not know routes.
"""

from typing import Any

from pydantic_core import to_json

from safeact_env.core.action import Action
from safeact_env.core.episode import Episode
from safeact_env.core.observation import VIEWS, View
from safeact_env.core.task import SPLITS, Task
from safeact_env.models import SafeActObservation, SafeActState
from safeact_env.tasks import get_task, task_names
from safeact_env.version import VERSION


def observation_of(episode: Episode[Any], view: View = "full") -> SafeActObservation:
    """The observation as OpenEnv's model."""
    return SafeActObservation.model_validate(episode.observation(view))


def view_in(asked: object, session: View) -> View:
    """The view of an answer: the one that the request asks for, else the session's.

    Raises:
        ValueError: If there is no such view.
    """
    if asked is None:
        return session
    for view in VIEWS:
        if asked == view:
            return view
    raise ValueError(f"view: Input should be {' or '.join(map(repr, VIEWS))}")


def answer_json(
    episode: Episode[Any],
    episode_id: str | None = None,
    view: View = "full",
    *,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """The answer to a reset or a step in OpenEnv's form, with reward and done beside the observation.

    Args:
        episode: The episode, after the step.
        episode_id: Its id, if the answer is to name it.
        view: What of the observation is sent.
        before: Bytes to put before the answer, such as the beginning of a frame.
        after: Bytes to put after it.
    """
    shown = episode.shown(view)
    reward = to_json(episode.turns[-1].reward if episode.turns else 0.0)
    parts = [before, b'{"observation":', shown.observation, b',"reward":', reward]
    parts.append(b',"done":true' if episode.done else b',"done":false')
    if episode_id is not None:
        parts += (b',"episode_id":', to_json(episode_id))
    if episode.done:
        parts += (b',"metadata":', shown.metadata)
    parts += (b"}", after)
    return b"".join(parts)


def state_of(episode_id: str, episode: Episode[Any], *, seed: bool = True) -> SafeActState:
    """The agent-safe state. Without `seed`, the seed is told only once the episode is over."""
    return SafeActState(
        episode_id=episode_id,
        step_count=len(episode.turns),
        task_name=episode.task.name,
        split=episode.split,
        seed=episode.seed if seed or episode.done else None,
        **episode.variant.to_json(),
        max_steps=episode.max_steps,
        total_reward=episode.grade().total,
        done=episode.done,
    )


def grade_of(episode: Episode[Any]) -> dict[str, Any]:
    """The grade of an episode, as `/grader` answers it."""
    return {**episode.grade().to_json(), "version": f"{VERSION}/{episode.task.name}-v{episode.task.version}"}


def _action_card(task: Task[Any], action: Action[Any]) -> dict[str, Any]:
    return {
        "name": action.name,
        "description": task.text.descriptions[action.name],
        "parameters": task.schemas[action.name],
    }


def task_card(task: Task[Any]) -> dict[str, Any]:
    """The public part of a task. It does not reveal risk, and no look-alikes: those belong to an episode."""
    return {
        "name": task.name,
        "version": task.version,
        "title": task.title,
        "description": task.summary,
        "difficulty": task.difficulty,
        "max_steps": task.max_steps,
        "splits": list(SPLITS),
        "levels": [{"level": number, "max_steps": level.max_steps} for number, level in task.levels.items()],
        "framings": list(task.framings),
        "actions": [_action_card(task, action) for action in task.fixed_actions],
        "grader": [
            {"name": part.name, "weight": part.weight / 10_000, "description": part.about}
            for part in task.graded
        ],
    }


def task_cards() -> list[dict[str, Any]]:
    """The cards of all tasks."""
    return [task_card(get_task(name)) for name in task_names()]
