"""Plays a reference policy over HTTP and prints the episode.

An example of an agent: it sees only what the server sends. `POST /baseline` runs the same policies in the
server.
"""

import argparse
import sys
import textwrap
from typing import Any

import httpx

from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Variant
from safeact_env.evaluation.record import place_of
from safeact_env.network import BadEnvironment, opening, options_for
from safeact_env.policies.reference import POLICIES, make_policy
from safeact_env.tasks import get_task, task_names


def show(step: int, call: dict[str, Any], answer: dict[str, Any]) -> None:
    """Print one step: the call, the result, the reward."""
    params = ", ".join(f"{key}={value}" for key, value in call["parameters"].items())
    print(f"{step:>3}  {call['action_name']}({params})")
    result = answer["observation"]["last_action_result"]
    print(textwrap.fill(result, 100, initial_indent="     ", subsequent_indent="     "))
    print(f"     reward {answer['reward']:+.4f}")


def run(url: str, task: str, split: str, seed: int, variant: Variant, policy: str) -> int:
    """Play one episode; return 0 if it was completed."""
    player = make_policy(policy, get_task(task), seed)
    with opening():
        opened = httpx.Client(base_url=url, timeout=30, **options_for(url))
    with opened as client:
        wanted = {"task_name": task, "split": split, "seed": seed, **variant.to_json()}
        reset = client.post("/reset", json=wanted)
        reset.raise_for_status()
        answer = reset.json()
        print(f"{place_of(f'{task}, split {split}', seed, variant)}, policy {policy}\n")
        print(textwrap.fill(answer["observation"]["task_description"], 100), end="\n\n")
        step = 0
        while not answer["done"]:
            call = player.act(answer["observation"]).to_json()
            sent = client.post("/step", json={"action": call, "episode_id": answer["episode_id"]})
            sent.raise_for_status()
            answer, step = sent.json(), step + 1
            show(step, call, answer)
        grade = client.post("/grader", json={"episode_id": answer["episode_id"]}).json()
    print(f"\n{grade['outcome']} after {grade['steps']} steps: score {grade['score']}")
    for name, part in grade["components"].items():
        print(f"  {name:<24} {part['earned']:.4f} of weight {part['weight']:.2f}")
    return 0 if grade["outcome"] == "completed" else 1


def main(arguments: list[str]) -> int:
    """Read the arguments, play, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:7860")
    parser.add_argument("--task", default="easy", choices=task_names())
    parser.add_argument("--split", default="train", choices=("train", "test"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", type=int, default=DEFAULT.level, choices=LEVELS)
    parser.add_argument("--framing", default=DEFAULT.framing, choices=FRAMINGS)
    parser.add_argument("--policy", default="expert", choices=tuple(POLICIES))
    options = parser.parse_args(arguments)
    variant = Variant(options.level, options.framing)
    try:
        return run(options.url, options.task, options.split, options.seed, variant, options.policy)
    except BadEnvironment as error:
        print(error, file=sys.stderr)
        return 2
    except httpx.HTTPError as error:
        print(f"the server at {options.url} did not answer as expected: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
