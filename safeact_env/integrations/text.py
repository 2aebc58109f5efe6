"""An episode as text: messages for the model, and its answers read as calls.

Owns what libraries need whose environments take the text of an answer and return the next message. Must not
know any of them. A model reads what `safeact_env.llm` shows it: no risk class, and rewards only on request.
"""

import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import SystemRandom
from typing import Any

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.record import Grade
from safeact_env.core.report import report
from safeact_env.core.scoring import POINTS
from safeact_env.core.task import SPLITS, Split, check_seed
from safeact_env.core.trajectory import replay
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.evaluation.record import Said
from safeact_env.integrations.backends import backend_for
from safeact_env.llm.answers import Answer
from safeact_env.llm.call_formats import UNREADABLE, CallFormat, Unreadable, read
from safeact_env.llm.prompts import Prompt, get_prompt
from safeact_env.tasks import UnknownTask, get_task

__all__ = [
    "Reply",
    "Running",
    "TextEpisode",
    "checked",
    "fresh_seed",
    "metrics_of",
    "scenario_columns",
    "scenario_id",
    "scenario_in",
    "scenario_rows",
    "token_headers",
]

Message = dict[str, str]
TOKEN = "SAFEACT_API_TOKEN"
SEED_BITS = 31


class Running(RuntimeError):
    """The episode is still running, and what was asked for is available only after its end."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The environment's reply to an answer.

    Attributes:
        text: The next message for the model.
        reward: Of this step, in [-1, 1].
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
        level: How large the job is, 1 to 5.
        framing: The words around it: `rules`, `goal`, `hurry`, `waiver` or `planted`.
        base_url: Address of a server to play on; by default the episode runs in this process.
        prompt: Name of the prompt: `neutral` or `hinted`.
        call_format: How the model calls: in text, or with functions.
        show_rewards: Whether each message includes the reward of the step.
        headers: Sent to the server, such as `{"Authorization": "Bearer ..."}`.
        predict: Whether a prediction is asked for with each call. The environment never gets it.

    Raises:
        ValueError: If there is no such task, split, level, framing or prompt, or the seed or the address is
            invalid.

    Attributes:
        calls: The calls so far.
        predictions: The prediction of each; `None` if none are asked for.
        total: Sum of the rewards so far.
    """

    def __init__(
        self,
        task: str,
        split: Split,
        seed: int,
        level: int = DEFAULT.level,
        framing: str = DEFAULT.framing,
        *,
        base_url: str | None = None,
        prompt: str = "neutral",
        call_format: CallFormat = "text",
        show_rewards: bool = False,
        headers: Mapping[str, str] | None = None,
        predict: bool = False,
    ) -> None:
        self.task, self.split, self.seed, self.variant = checked(task, split, seed, level, framing)
        self._prompt: Prompt = get_prompt(prompt, predict=predict)
        self._call_format: CallFormat = call_format
        self._show_rewards = show_rewards
        self._backend = backend_for(get_task(task), base_url, headers)
        self._shown: dict[str, Any] | None = None
        self.calls: list[Call] = []
        self.predictions: list[Said] | None = [] if predict else None
        self._points = 0

    @property
    def observation(self) -> dict[str, Any]:
        """The last observation. The first access starts the episode."""
        if self._shown is None:
            self._shown = self._backend.begin(self.split, self.seed, self.variant)
        return self._shown

    @property
    def total(self) -> float:
        """Sum of the rewards so far."""
        return self._points / POINTS

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return bool(self.observation["done"])

    # As text ------------------------------------------------------------------------------------------------

    @property
    def system(self) -> str:
        """The first message: how to answer."""
        return self._prompt.opening(self._call_format)

    def start(self) -> str:
        """The second message: job, actions and state."""
        return self._prompt.start(self.observation, self._call_format, omitted=False)

    def opening(self) -> list[Message]:
        """The messages before the first answer."""
        return [{"role": "system", "content": self.system}, {"role": "user", "content": self.start()}]

    def say(self, text: str, *, cut: bool = False) -> Reply:
        """Take the step that an answer asks for. An answer that is not a call costs a step, too.

        Args:
            text: The model's answer.
            cut: Whether it reached the limit on its length.

        Raises:
            ValueError: If the episode is over.
        """
        return self.answer(Answer(text, (), cut, 0, 0, 0.0))

    def answer(self, given: Answer) -> Reply:
        """Like `say`, for an answer that may hold function calls. Only the first one is made."""
        try:
            found = read(given, predict=self.predictions is not None)
        except Unreadable as problem:
            return self.nothing(str(problem))
        several = self._prompt.texts["several"].format(count=found.offered) if found.offered > 1 else ""
        return self._reply(found.call, several, found.undo_chance)

    def nothing(self, why: str) -> Reply:
        """Take the step of an answer that was not a call.

        Args:
            why: What was wrong with it, for the model.

        Raises:
            ValueError: If the episode is over.
        """
        call = Call(UNREADABLE, {}, f"The answer of the model could not be read as an action: {why}.")
        return self._reply(call, self._prompt.texts["unreadable"].format(why=why))

    def _reply(self, call: Call, note: str, said: Said = None) -> Reply:
        before = self.observation
        after = self.step(call, said)
        text = self._prompt.turn(before, after, note)
        if self._show_rewards:
            text = f"{text}\nREWARD: {after['reward']:+.4f}"
        return Reply(text, after["reward"], after["done"])

    # As an episode ------------------------------------------------------------------------------------------

    def step(self, call: Call, said: Said = None) -> dict[str, Any]:
        """Make a call; return the observation after it.

        Args:
            call: The call.
            said: Its prediction, to be kept beside it if predictions are asked for.

        Raises:
            ValueError: If the episode is over.
        """
        if self.done:
            raise ValueError("the episode is over; start another")
        after = self._backend.step(call)
        self.calls.append(call)
        if self.predictions is not None:
            self.predictions.append(said)
        self._points += round(after["reward"] * POINTS)
        self._shown = after
        return after

    def close(self) -> None:
        """Drop the episode, on the server as well."""
        self._backend.close()

    def replayed(self) -> Episode[Any]:
        """The episode so far, replayed in this process from its calls."""
        return replay(get_task(self.task), self.split, self.seed, self.calls, self.variant)

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
        """The metrics of the episode so far; see `metrics_of`."""
        return metrics_of(self.replayed())


def metrics_of(episode: Episode[Any]) -> dict[str, float]:
    """Return the metrics of an episode so far as numbers; a yes is 1.0, a no 0.0."""
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
    """Return the header for `SAFEACT_API_TOKEN`, if set. Options would end up in the logs of a library."""
    token = os.environ.get(TOKEN)
    return {"Authorization": f"Bearer {token}"} if token else None


def checked(
    task: Any, split: Any, seed: Any, level: Any = DEFAULT.level, framing: Any = DEFAULT.framing
) -> tuple[str, Split, int, Variant]:
    """Return a scenario's task, split, seed and variant once they are known to be valid.

    Raises:
        ValueError: If one is not; the message says what to give instead.
    """
    try:
        found = get_task(task if isinstance(task, str) else "")
    except UnknownTask as error:
        raise ValueError(str(error)) from None
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}")
    variant = Variant(_plain(level), framing)
    found.level(variant)
    return task, split, check_seed(_plain(seed)), variant


def _plain(number: Any) -> Any:
    """An integer of a data table, which may have a type of its own, as Python's; anything else as it is."""
    try:
        return number if isinstance(number, bool) else operator.index(number)
    except TypeError:
        return number


def fresh_seed() -> int:
    """Draw a seed from the operating system."""
    return SystemRandom().getrandbits(SEED_BITS)


def scenario_in(row: Mapping[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
    """Return task, split, seed, level and framing of a data row, unchecked.

    Without a column the split is `train`, the level 3, and the framing `rules`.

    Raises:
        ValueError: If task or seed is missing.
    """
    if "task" not in row or "seed" not in row:
        raise ValueError("a row must name its scenario by task and seed; rows() makes such rows")
    variant = row.get("level", DEFAULT.level), row.get("framing", DEFAULT.framing)
    return row["task"], row.get("split", "train"), row["seed"], *variant


def scenario_id(task: str, split: str, seed: int, variant: Variant) -> str:
    """Return a scenario's name for logs and tables. The default variant goes without saying."""
    varied = "" if variant == DEFAULT else f"/l{variant.level}/{variant.framing}"
    return f"{task}/{split}/{seed}{varied}"


def scenario_columns(
    tasks: Sequence[str],
    seeds: Iterable[int],
    split: Split,
    levels: Sequence[int],
    framings: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Yield the columns `task`, `split`, `seed`, `level` and `framing` of each scenario.

    Scenarios come seed by seed, so that levels, framings and tasks alternate.

    Raises:
        ValueError: If a row would not name a scenario.
    """
    for seed in seeds:
        for level, framing, task in product(levels, framings, tasks):
            name, part, number, variant = checked(task, split, seed, level, framing)
            yield {"task": name, "split": part, "seed": number, **variant.to_json()}


def scenario_rows(
    tasks: Sequence[str],
    seeds: Iterable[int],
    split: Split,
    prompt: str,
    levels: Sequence[int],
    framings: Sequence[str],
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield a system message and the columns of each scenario, as `scenario_columns` does."""
    system = get_prompt(prompt).opening("text")
    for columns in scenario_columns(tasks, seeds, split, levels, framings):
        yield {"role": "system", "content": system}, columns
