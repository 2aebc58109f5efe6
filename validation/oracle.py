"""Plays the expert on a running server, a scenario of every task, and tells what it earned.

The oracle that `openenv.yaml` declares: it exits with 1 unless every episode's rewards sum to 1.0, the most
that can be had. It needs this package installed, and sees only what the server sends.

    python validation/oracle.py http://localhost:8000
"""

import sys

from safeact_env.client import SafeActAction, SafeActHTTPClient
from safeact_env.policies.reference import make_policy
from safeact_env.tasks import OFFICIAL, get_task

SEED = 42


def earned(client: SafeActHTTPClient, task: str) -> float:
    """The sum of the expert's rewards on one scenario, in [-1, 1]."""
    shown = client.reset(task, SEED)
    player = make_policy("expert", get_task(task), SEED)
    total = 0.0
    while not shown.done:
        call = player.act(shown.observation.model_dump(mode="json"))
        shown = client.step(SafeActAction(**call.to_json()))
        total += shown.reward or 0.0
    return round(total, 4)


def main(url: str = "http://localhost:8000") -> int:
    """Play; return the exit code."""
    with SafeActHTTPClient(url) as client:
        rewards = {task: earned(client, task) for task in OFFICIAL}
    for task, reward in rewards.items():
        print(f"{task}: {reward}")
    return 0 if set(rewards.values()) == {1.0} else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
