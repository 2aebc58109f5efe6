"""Two clients over HTTP against a model: whatever they do, the server does what the model does.

The model is an engine of its own per episode, and the rules about ids and retries.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from safeact_env.call import Call
from safeact_env.core.episode import Episode
from safeact_env.core.variant import DEFAULT, Variant
from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.settings import Settings
from safeact_env.sessions import service as sessions
from safeact_env.tasks import OFFICIAL, get_task
from tests.conftest import begin_anew

MOST = 2
IDS = ("a", "b", "c", "d")
FINISH = {"action_name": "finish", "parameters": {"summary": "Enough."}, "reasoning": "Done."}
NOTHING = {"action_name": "no_such_action", "parameters": {}, "reasoning": "Try."}


class Known:
    """An episode as the model has it."""

    def __init__(self, task: str, split: Any, seed: int, variant: Variant) -> None:
        self.start = (task, split, seed, variant)
        self.engine: Episode[Any] = Episode(get_task(task), split, seed, variant=variant)
        played = play(get_task(task), split, seed, "expert", variant=variant)
        self.script = [turn.call.to_json() for turn in played.turns]
        self.retry: tuple[str, dict[str, Any]] | None = None

    def answer(self, name: str) -> dict[str, Any]:
        """What the last reset or step was answered."""
        shown = self.engine.observation()
        reward, done = shown.pop("reward"), shown.pop("done")
        answer = {"observation": shown, "reward": reward, "done": done, "episode_id": name}
        return {**answer, "metadata": shown["metadata"]} if done else answer


def started(answer: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer to a reset, without the agent's key, which is random."""
    return answer.status_code, {key: value for key, value in answer.json().items() if key != "agent_key"}


class TwoClients(RuleBasedStateMachine):
    """Two clients, one server, one model."""

    episodes: Bundle[str] = Bundle("episodes")
    app: FastAPI
    portal: BlockingPortal
    """Runs the requests: without it, each would start an event loop of its own."""

    @initialize()
    def start(self) -> None:
        begin_anew(self.app)
        self.clients = [TestClient(self.app, raise_server_exceptions=False) for _ in range(2)]
        for client in self.clients:
            client.portal = self.portal
        self.known: dict[str, Known] = {}
        self.keys: dict[str, str] = {}
        self.newest = ""
        self.numbers = iter(range(10_000))

    def ask(self, who: int, method: str, path: str, **more: Any) -> Any:
        return self.clients[who].request(method, path, **more)

    @property
    def live(self) -> list[str]:
        return [name for name, one in self.known.items() if not one.engine.done]

    @rule(
        target=episodes,
        who=st.integers(0, 1),
        name=st.sampled_from(IDS),
        task=st.sampled_from(OFFICIAL),
        split=st.sampled_from(["train", "test"]),
        seed=st.integers(0, 2),
        variant=st.sampled_from([DEFAULT, Variant(1), Variant(3, "goal")]),
    )
    def reset(self, who: int, name: str, task: str, split: str, seed: int, variant: Variant) -> str:
        if task != "easy":
            variant = DEFAULT
        body = {"episode_id": name, "task_name": task, "split": split, "seed": seed, **variant.to_json()}
        answer = self.ask(who, "POST", "/reset", json=body)
        there = self.known.get(name)
        if there is None and len(self.live) >= MOST:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "at_capacity")
            assert int(answer.headers["Retry-After"]) > 0
        elif there is None:
            self.known[name], self.newest = Known(task, split, seed, variant), name
            self.keys[name] = answer.json()["agent_key"]
            assert started(answer) == (200, self.known[name].answer(name))
        elif there.start == (task, split, seed, variant) and not there.engine.turns:
            assert answer.json()["agent_key"] == self.keys[name]
            assert started(answer) == (200, there.answer(name))
        else:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (409, "episode_exists")
        return name

    def taken(self, who: int, name: str, call: dict[str, Any], request_id: str | None) -> None:
        answer = self.ask(
            who, "POST", "/step", json={"episode_id": name, "action": call, "request_id": request_id}
        )
        one = self.known.get(name)
        if one is None:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (404, "unknown_episode")
            return
        if one.engine.done:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (409, "episode_done")
            return
        one.engine.step(Call(call["action_name"], call["parameters"], call["reasoning"]))
        one.retry = None if request_id is None else (request_id, call)
        assert (answer.status_code, answer.json()) == (200, one.answer(name))

    @rule(who=st.integers(0, 1), name=episodes, with_id=st.booleans(), times=st.integers(1, 3))
    def step(self, who: int, name: str, with_id: bool, times: int) -> None:
        for _ in range(times):
            one = self.known.get(name)
            call = NOTHING if one is None else one.script[min(len(one.engine.turns), len(one.script) - 1)]
            self.taken(who, name, call, f"r{next(self.numbers)}" if with_id else None)

    @rule(who=st.integers(0, 1), name=episodes)
    def step_and_again(self, who: int, name: str) -> None:
        """The answer was lost on its way, and the other client asks again."""
        self.step(who, name, True, 1)
        self.step_again(1 - who, name, False)

    @rule(who=st.integers(0, 1), name=episodes, call=st.sampled_from([FINISH, NOTHING]))
    def step_otherwise(self, who: int, name: str, call: dict[str, Any]) -> None:
        self.taken(who, name, call, None)

    @rule(who=st.integers(0, 1), name=episodes, other=st.booleans())
    def step_again(self, who: int, name: str, other: bool) -> None:
        """A retry, perhaps by the other client, acts once; another action under the id is refused."""
        one = self.known.get(name)
        if one is None or one.retry is None:
            return
        request_id, call = one.retry
        sent = {**call, "reasoning": "Another reason."} if other else call
        body = {"episode_id": name, "action": sent, "request_id": request_id}
        answer = self.ask(who, "POST", "/step", json=body)
        if other:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (409, "request_id_reused")
        else:
            assert (answer.status_code, answer.json()) == (200, one.answer(name))

    @rule(who=st.integers(0, 1), name=episodes, finish=st.booleans())
    def grade(self, who: int, name: str, finish: bool) -> None:
        answer = self.ask(who, "POST", "/grader", json={"episode_id": name, "finish": finish})
        one = self.known.get(name)
        if one is None:
            assert answer.status_code == 404
            return
        if not one.engine.done and not finish:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (409, "episode_running")
            return
        if not one.engine.done:
            one.engine.step(sessions.HANDED_IN)
            one.retry = None
        graded = one.engine.grade().to_json()
        assert answer.status_code == 200
        assert {key: answer.json()[key] for key in graded} == graded
        # The record, replayed, has the same grade.
        task, split, seed, variant = one.start
        actions = [turn.call.to_json() for turn in one.engine.turns]
        again = self.ask(
            1 - who,
            "POST",
            "/grader",
            json={
                "task_name": task,
                "split": split,
                "seed": seed,
                "actions": actions,
                **variant.to_json(),
            },
        )
        assert again.json() == answer.json()

    @rule(who=st.integers(0, 1), name=consumes(episodes))
    def delete(self, who: int, name: str) -> None:
        answer = self.ask(who, "DELETE", f"/episodes/{name}")
        assert answer.status_code == (200 if self.known.pop(name, None) else 404)

    @rule(who=st.integers(0, 1), name=episodes)
    def spoil(self, who: int, name: str) -> None:
        """What is malformed changes nothing."""
        for body in ({"episode_id": name}, {"episode_id": name, "action": {**NOTHING, "reasoning": ""}}):
            assert self.ask(who, "POST", "/step", json=body).status_code == 422
        assert (
            self.ask(
                who, "POST", "/step", content=b"{", headers={"Content-Type": "application/json"}
            ).status_code
            == 400
        )

    @precondition(lambda self: getattr(self, "known", None))
    @rule(who=st.integers(0, 1))
    def step_unnamed(self, who: int) -> None:
        """Without an id and a cookie it is the only unfinished episode, if that was started last, or none."""
        self.clients[who].cookies.clear()
        answer = self.ask(who, "GET", "/state")
        if self.live == [self.newest]:
            assert (answer.status_code, answer.json()["episode_id"]) == (200, self.newest)
        else:
            assert (answer.status_code, answer.json()["detail"]["code"]) == (409, "ambiguous_episode")

    @invariant()
    def what_is_shown_is_what_the_model_has(self) -> None:
        for name, one in getattr(self, "known", {}).items():
            shown = self.ask(len(one.engine.turns) % 2, "GET", f"/episodes/{name}/observation")
            assert shown.json() == one.answer(name)

    @invariant()
    def as_many_are_counted_as_there_are(self) -> None:
        if hasattr(self, "known"):
            assert self.ask(0, "GET", "/health").json()["live_episodes"] == len(self.live)


BRIEF = settings(
    max_examples=8,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    # What is found need not be made small for this test, and that takes minutes.
    phases=[Phase.generate],
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def one_server() -> Iterator[None]:
    TwoClients.app = create_app(Settings(max_episodes=MOST))
    with start_blocking_portal() as TwoClients.portal:
        yield


def test_two_clients_and_a_model_agree() -> None:
    run_state_machine_as_test(TwoClients, settings=BRIEF)


def test_a_server_that_acts_twice_on_a_retry_is_caught(monkeypatch) -> None:
    monkeypatch.setattr(sessions.Session, "step_of", lambda self, request_id: None)
    assert_caught()


def test_a_server_that_leaks_slots_is_caught(monkeypatch) -> None:
    from safeact_env.sessions.stores.memory import MemoryStore

    monkeypatch.setattr(MemoryStore, "live", lambda self: len(self._live) + len(self._finished))
    assert_caught()


def assert_caught() -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(TwoClients, settings=settings(BRIEF, max_examples=60))
