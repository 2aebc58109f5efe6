"""Runs the baseline of `POST /baseline` without a server and prints the scores.

By default the rule-based `expert` plays every task. `--agent llm` plays the model that the environment
variables name (docs/evaluate.md).
"""

import argparse
import asyncio
import sys

from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Variant
from safeact_env.models import BaselineRequest, BaselineResponse
from safeact_env.server.http.baseline import MODEL_AGENT, check_agent, run_baseline, run_model
from safeact_env.server.settings import Settings
from safeact_env.sessions.errors import SessionError
from safeact_env.sessions.service import known_task
from safeact_env.tasks import task_names


def run(request: BaselineRequest) -> BaselineResponse:
    """The response of a server."""
    check_agent(request.agent)
    names = task_names() if request.task_name is None else (request.task_name,)
    tasks = [known_task(name, Variant(request.level, request.framing)) for name in names]
    if request.agent == MODEL_AGENT:
        return asyncio.run(run_model(request, tasks, Settings()))
    return run_baseline(request, tasks)


def show(response: BaselineResponse) -> None:
    """Print the scores."""
    print(f"{response.agent}{f' ({response.model})' if response.model else ''}")
    for task, score in response.scores.items():
        count = sum(episode.task_name == task for episode in response.episodes)
        print(f"  {task:<14} {'-' if score is None else f'{score:.4f}':>6}  {count} episodes")


def main(arguments: list[str]) -> int:
    """Read the arguments, play, print; return 0 if every episode was played."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=task_names(), help="default: all")
    parser.add_argument("--agent", default="expert", help="a reference policy, or llm (default: expert)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1 (default: 3)")
    parser.add_argument("--split", default="train", choices=("train", "test"))
    parser.add_argument("--level", type=int, default=DEFAULT.level, choices=LEVELS)
    parser.add_argument("--framing", default=DEFAULT.framing, choices=FRAMINGS)
    parser.add_argument("--json", action="store_true", help="print the answer of POST /baseline")
    options = parser.parse_args(arguments)
    if not 1 <= options.seeds <= 100:
        parser.error("--seeds must be from 1 to 100")
    request = BaselineRequest(
        task_name=options.task,
        agent=options.agent,
        seeds=list(range(options.seeds)),
        split=options.split,
        level=options.level,
        framing=options.framing,
    )
    try:
        response = run(request)
    except SessionError as error:
        print(error.message, file=sys.stderr)
        return 2
    if options.json:
        print(response.model_dump_json(indent=2))
    else:
        show(response)
    for task, problem in response.errors.items():
        print(f"{task}: {problem}", file=sys.stderr)
    return 1 if response.errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
