"""Rewrites the golden traces of the official tasks and the plan that validators play; prints the changes.

A trace is an episode's calls with all their results. With `--check` it writes nothing and exits with 1 if a
trace is stale. It reports a task that cannot be played, and goes on with the others.
"""

import argparse
import difflib
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from safeact_env.audit.rollouts import every_move, verdict, walking
from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.playbook import Move
from safeact_env.core.task import Split, Task
from safeact_env.evaluation.replay import detailed_trajectory
from safeact_env.policies.calls import question
from safeact_env.policies.reference import play
from safeact_env.tasks import OFFICIAL, get_task

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"

OF_EACH = 3
"""Calls of each kind in the trace of refusals."""
WALK = 24
"""Steps of the random walk."""

Step = Call | Move


def full(task: Task[Any]) -> Episode[Any]:
    """The expert's episode, graded 1.0."""
    return play(task, "train", 11, "expert")


def zero(task: Task[Any]) -> Episode[Any]:
    """An episode in which nothing is done."""
    return play(task, "test", 0, "do_nothing")


def refused(task: Task[Any]) -> Episode[Any]:
    """Calls that fail in every way: unknown, malformed, blocked, refused, denied."""
    episode: Episode[Any] = Episode(task, "test", 5)
    moves = every_move(episode)
    taken(episode, malformed(episode, moves))
    for kind in ("blocked", "refused"):
        found = [m for m in moves if verdict(episode.actions, episode.state, m) == kind]
        taken(episode, one_of_each(found)[:OF_EACH])
    final = [m for m in moves if verdict(episode.actions, episode.state, m) == "mistake"]
    ask, obs = task.escalation.name, episode.observation()
    taken(episode, [question(obs, ask, move) for move in one_of_each(final)[:OF_EACH]])
    taken(episode, [Move("finish", {"summary": "Everything was refused."})])
    return episode


def malformed(episode: Episode[Any], moves: list[Move]) -> Iterator[Move]:
    """Calls that break rules 1 and 2, each in a different way."""
    whole = next(m for m in moves if episode.actions[m.name].params.sources)
    first = next(iter(whole.params))
    yield Move("make_it_right", {})
    yield Move(whole.name, {})
    yield Move(whole.name, {**whole.params, "force": True})
    yield Move(whole.name, {**whole.params, first: 7})
    yield Move(whole.name, {**whole.params, first: "no such thing"})
    yield Move(episode.task.escalation.name, {"reason": "?", "action_being_considered": "make_it_right"})


def one_of_each(moves: Iterable[Move]) -> list[Move]:
    """The first move of each action."""
    return list({move.name: move for move in reversed(list(moves))}.values())[::-1]


def mistake(task: Task[Any]) -> Episode[Any]:
    """Some progress, then an irreversible mistake: by a look-alike in every other task.

    Where none is to be had after half of the expert's calls, the expert's way goes on until there is; where
    there is none to its end, the next scenario is played.
    """
    trap = OFFICIAL.index(task.name) % 2 == 0 if task.name in OFFICIAL else True
    for seed in count(21):
        episode = _mistaken(task, "train" if trap else "test", seed, trap=trap)
        if episode.outcome == "irreversible_mistake":
            return episode
    raise AssertionError("seeds have no end")


def _mistaken(task: Task[Any], split: Split, seed: int, *, trap: bool) -> Episode[Any]:
    calls = [turn.call for turn in play(task, split, seed, "expert").turns]
    episode: Episode[Any] = Episode(task, split, seed)
    taken(episode, calls[: len(calls) // 2])
    for call in calls[len(calls) // 2 :]:
        moves = (m for m in every_move(episode) if episode.actions[m.name].lookalike == trap)
        found = next((m for m in moves if verdict(episode.actions, episode.state, m) == "mistake"), None)
        taken(episode, [call if found is None else found])
    return episode


def mixed(task: Task[Any]) -> Episode[Any]:
    """A random walk without a mistake, then `finish`."""
    episode: Episode[Any] = Episode(task, "test", 31)
    for move in walking(episode, Random(f"golden/{task.name}"), WALK):
        episode.step(move.call())
    taken(episode, [Move("finish", {"summary": "Enough."})])
    return episode


def taken(episode: Episode[Any], steps: Iterable[Step]) -> None:
    """Take the steps until the episode ends."""
    for step in steps:
        if not episode.done:
            episode.step(step.call() if isinstance(step, Move) else step)


KINDS: dict[str, Callable[[Task[Any]], Episode[Any]]] = {
    "full": full,
    "zero": zero,
    "refused": refused,
    "mistake": mistake,
    "mixed": mixed,
}
"""The traces of each task."""


def text_of(trace: dict[str, Any]) -> str:
    """The text of a trace's file: a line per call and per step, so that diffs are readable."""
    parts = [f'"{name}": {_value(value)}' for name, value in trace.items()]
    return "{\n  " + ",\n  ".join(parts) + "\n}\n"


def _value(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value, ensure_ascii=False)
    return "[\n    " + ",\n    ".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n  ]"


def fresh(name: str) -> Iterator[tuple[Path, str]]:
    """The paths and texts of a task's traces, played now."""
    task = get_task(name)
    for kind, make in KINDS.items():
        yield GOLDEN / name / f"{kind}.json", text_of(detailed_trajectory(make(task)))
    yield ROOT / "validation" / "canaries" / f"{name}.json", canaries(task)


SEED = 42
"""Of the episodes for OpenEnv's validator."""
CANARIES = ("do_nothing", "reckless", "blunt")
"""Policies that earn next to nothing."""


def plan() -> str:
    """The text of the plan that OpenEnv's runtime validator plays: an expert's episode."""
    calls = [turn.call.to_json() for turn in play(get_task("easy"), "train", SEED, "expert").turns]
    return (
        json.dumps({"plan_schema_version": "1", "reset": _reset("easy"), "actions": calls}, indent=2) + "\n"
    )


def canaries(task: Task[Any]) -> str:
    """The text of a task's episodes that OpenEnv's manifest declares to be worth little."""
    rows = []
    for policy in CANARIES:
        episode = play(task, "train", SEED, policy)
        grade = episode.grade()
        row = {
            "name": policy,
            "reset": _reset(task.name),
            "actions": [turn.call.to_json() for turn in episode.turns],
            "score": grade.score,
            "return": grade.total,
        }
        rows.append("  " + json.dumps(row, ensure_ascii=False))
    return "[\n" + ",\n".join(rows) + "\n]\n"


def _reset(task: str) -> dict[str, Any]:
    options = {"task_name": task, "split": "train"}
    return {"episode_id": "validation", "seed": SEED, "options": options}


def difference(path: Path, new: str) -> str:
    """The diff of rewriting a file; empty if nothing changes."""
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    title = str(path.relative_to(ROOT))
    return "".join(
        difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"{title} (old)", title, n=1)
    )


def main(arguments: list[str]) -> int:
    """Rewrite, or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a trace is stale")
    parser.add_argument("--task", action="append", choices=OFFICIAL, help="this task only; may be repeated")
    options = parser.parse_args(arguments)
    stale, failed = 0, 0
    for name in options.task or OFFICIAL:
        try:
            files = list(fresh(name)) + (
                [(ROOT / "validation" / "runtime.json", plan())] if name == "easy" else []
            )
        except Exception:  # a task in the making must not stop the others
            traceback.print_exc()
            failed += 1
            continue
        for path, new in files:
            changes = difference(path, new)
            print(changes, end="")
            stale += bool(changes)
            if changes and not options.check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(new, encoding="utf-8")
    print(f"{stale} {'stale' if options.check else 'rewritten'}, {failed} tasks that cannot be played")
    if stale and not options.check:
        print("Where a behaviour changed on purpose: raise the task's version, and say so in CHANGELOG.md.")
    return 1 if failed or (options.check and stale) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
