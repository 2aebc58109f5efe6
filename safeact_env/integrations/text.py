"""An episode played in words: messages for the model, and its answers read as calls.

Owns what libraries need whose environments take the text of an answer and give the next message. Must not
know any of them. What a model reads is what `safeact_env.llm` shows it: no risk class, and rewards only if
they are asked for.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.record import Grade
from safeact_env.core.report import report
from safeact_env.core.task import SPLITS, Split, check_seed
from safeact_env.core.trajectory import replay
from safeact_env.integrations.backends import Here, There, World
from safeact_env.llm.call_formats import UNREADABLE, Mode, Unreadable, read
from safeact_env.llm.prompts import Prompt, get_prompt
from safeact_env.llm.provider import Answer
from safeact_env.tasks import UnknownTask, get_task

__all__ = ["Reply", "Running", "TextEpisode", "checked", "metrics_of", "token_headers"]

Message = dict[str, str]
TOKEN = "SAFEACT_API_TOKEN"
POINTS = 10_000
"""Rewards are whole fractions of this."""


class Running(RuntimeError):
    """Something was asked for that is told after the end only."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of an answer.

    Attributes:
        text: The next message for the model.
        reward: Of this step.
        done: Whether the episode is over.
    """

    text: str
    reward: float
    done: bool


class TextEpisode:
    """One episode.

    Args:
        task: Name of the task.
        split: `train` or `test`.
        seed: Of the scenario, at least 0.
        base_url: Play on the server at this address; by default in this process.
        prompt: What the model is told: `neutral` or `hinted`.
        mode: How it calls: in text, or with functions.
        show_rewards: Whether the messages tell the reward of each step.
        headers: Sent to the server, such as `{"Authorization": "Bearer ..."}`.

    Raises:
        ValueError: If there is no such task, split or prompt, or the seed or the address is none.

    Attributes:
        calls: The calls so far.
        total: Sum of the rewards so far.
    """

    def __init__(
        self,
        task: str,
        split: Split,
        seed: int,
        *,
        base_url: str | None = None,
        prompt: str = "neutral",
        mode: Mode = "text",
        show_rewards: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.task, self.split, self.seed = checked(task, split, seed)
        self._prompt: Prompt = get_prompt(prompt)
        self._mode: Mode = mode
        self._show_rewards = show_rewards
        found = get_task(task)
        self._world: World = Here(found) if base_url is None else There(found, base_url, headers)
        self._shown: dict[str, Any] | None = None
        self.calls: list[Call] = []
        self._points = 0

    @property
    def observation(self) -> dict[str, Any]:
        """The last observation; the episode is begun if it was not."""
        if self._shown is None:
            self._shown = self._world.begin(self.split, self.seed)
        return self._shown

    @property
    def total(self) -> float:
        """Sum of the rewards so far."""
        return self._points / POINTS

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return bool(self.observation["done"])

    # In words -----------------------------------------------------------------------------------------------

    @property
    def system(self) -> str:
        """The first message: how to answer."""
        return self._prompt.opening(self._mode)

    def start(self) -> str:
        """The second message: job, actions and state."""
        return self._prompt.start(self.observation, self._mode, omitted=False)

    def opening(self) -> list[Message]:
        """The messages before the first answer."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.start()}]

    def say(self, text: str, *, cut: bool = False) -> Reply:
        """Take the step that an answer means. One that is no call costs a step, too.

        Args:
            text: The model's answer.
            cut: Whether it ran into a limit on its length.

        Raises:
            ValueError: If the episode is over.
        """
        return self.answer(Answer(text, (), cut, 0, 0, 0.0))

    def answer(self, given: Answer) -> Reply:
        """As `say`, for an answer that may hold function calls. Only the first of several is made."""
        try:
            found = read(given)
        except Unreadable as problem:
            return self.nothing(str(problem))
        several = self._prompt.texts["several"].format(count=found.offered) if found.offered > 1 else ""
        return self._reply(found.call, several)

    def nothing(self, why: str) -> Reply:
        """Take the step of an answer that was no call.

        Args:
            why: It was none, for the model.

        Raises:
            ValueError: If the episode is over.
        """
        call = Call(UNREADABLE, {}, f"The answer of the model could not be read as an action: {why}.")
        return self._reply(call, self._prompt.texts["unreadable"].format(why=why))

    def _reply(self, call: Call, note: str) -> Reply:
        before = self.observation
        after = self.step(call)
        text = self._prompt.turn(before, after, note)
        if self._show_rewards:
            text = f"{text}\nREWARD: {after['reward']:+.4f}"
        return Reply(text, after["reward"], after["done"])

    # As an episode ------------------------------------------------------------------------------------------

    def step(self, call: Call) -> dict[str, Any]:
        """Make a call; the observation after it.

        Raises:
            ValueError: If the episode is over.
        """
        if self.done:
            raise ValueError("the episode is over; start another")
        after = self._world.step(call)
        self.calls.append(call)
        self._points += round(after["reward"] * POINTS)
        self._shown = after
        return after

    def close(self) -> None:
        """Let go of it: a server is told to forget it."""
        self._world.close()

    def replayed(self) -> Episode[Any]:
        """The episode so far, played again in this process: whatever was played is in the calls."""
        return replay(get_task(self.task), self.split, self.seed, self.calls)

    def grade(self) -> Grade:
        """The grade as it stands."""
        return self.replayed().grade()

    def report(self) -> dict[str, Any]:
        """The record with the risk class of each call.

        Raises:
            Running: If the episode is not over.
        """
        if not self.done:
            raise Running("risk classes are told after the end of an episode")
        return report(self.replayed())

    def metrics(self) -> dict[str, float]:
        """What is to be known of the episode as numbers."""
        return metrics_of(self.replayed())


def metrics_of(episode: Episode[Any]) -> dict[str, float]:
    """Grade, return and the like of an episode as it stands; what is yes or no is 1 or 0."""
    grade = episode.grade()
    return {
        "grade": grade.score,
        "return": grade.total,
        "complete": float(grade.score == 1.0),
        "mistake": float(grade.outcome == "irreversible_mistake"),
        "over_escalations": float(episode.state.ledger.over_escalations),
        "steps": float(grade.steps),
        "unreadable": float(sum(turn.call.action_name == UNREADABLE for turn in episode.turns)),
    }


def token_headers() -> dict[str, str] | None:
    """What `SAFEACT_API_TOKEN` asks to be sent to a server, for libraries that keep their options in logs."""
    token = os.environ.get(TOKEN)
    return {"Authorization": f"Bearer {token}"} if token else None


def checked(task: Any, split: Any, seed: Any) -> tuple[str, Split, int]:
    """A scenario as it was asked for, once it is known to be one.

    Raises:
        ValueError: If it is none; the message says what to give instead.
    """
    try:
        get_task(task if isinstance(task, str) else "")
    except UnknownTask as error:
        raise ValueError(str(error)) from None
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}")
    if isinstance(seed, bool):
        raise ValueError("seed must be an integer")
    try:
        # Tables of data hold integers of their own kinds.
        number = operator.index(seed)
    except TypeError:
        raise ValueError("seed must be an integer") from None
    return task, split, check_seed(number)
