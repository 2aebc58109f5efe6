"""A stranger on every transport, who wants hidden facts or the operator's money, and gets neither.

Facts: two servers get the same requests; their scenarios differ only in which look-alike works. Until an
episode is over, both must answer with the same bytes on every transport, headers and metrics included. Money:
the tests try every way to have the configured model played, and it must not be asked once. Every kind of
check is shown to catch a server that is broken on purpose.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI
from fastapi.testclient import TestClient

from safeact_env.core.episode import Episode
from safeact_env.policies.reference import play
from safeact_env.server.app import create_app
from safeact_env.server.http import catalog
from safeact_env.server.middleware import access
from safeact_env.server.operations.counters import Counters
from safeact_env.server.settings import Settings
from safeact_env.sessions import service as sessions
from safeact_env.sessions import session
from safeact_env.tasks import OFFICIAL, get_task
from tests.checks import swapped

SEED = 11
ID = "the-episode"
OTHER = "another-episode"
VOLATILE = re.compile(
    r'safeact-agent[.\w-]+|"live_episodes":\d+|[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}'
)
UNTIMED = ("date", "x-request-id")
JSON_TYPES = {"Accept": "application/json, text/event-stream"}


# Two servers ----------------------------------------------------------------------------------------------


class TwinEpisode(Episode[Any]):
    """An episode of the scenario in which two look-alikes have changed roles."""

    def __init__(self, task, split, seed, **options):
        super().__init__(task, split, seed, start=swapped(task, split, seed)[0], **options)


def use_twin(patch: pytest.MonkeyPatch) -> None:
    for module in (sessions, session):
        patch.setattr(module, "Episode", TwinEpisode)


def server(twin: bool) -> TestClient:
    """A server of one of the two twins; which one is looked up when an episode starts."""
    client = TestClient(create_app(Settings()), raise_server_exceptions=False)
    real = client.request

    def request(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            if twin:
                use_twin(patch)
            return real(*args, **kwargs)

    client.request = request
    client.twin = twin
    return client


def two_servers() -> list[TestClient]:
    """A server of either twin."""
    return [server(twin) for twin in (False, True)]


@pytest.fixture(scope="module")
def servers() -> Iterator[list[TestClient]]:
    """The two servers, with one event loop: to make them takes as long as all that they are asked."""
    made = two_servers()
    with start_blocking_portal() as portal:
        for client in made:
            client.portal = portal
        yield made


def seen(response: Any) -> Any:
    """All that a client sees of an answer, but times and drawn ids."""
    headers = sorted((k, VOLATILE.sub("ID", v)) for k, v in response.headers.items() if k not in UNTIMED)
    return response.status_code, headers, VOLATILE.sub("ID", response.text)


def careful_calls(task: str, split: str) -> list[dict[str, Any]]:
    """The expert's calls that touch no look-alike, and end nothing."""
    ends = {*get_task(task).start(split, SEED).state.upkeep.runbooks, "finish", "roll_back_upkeep"}
    calls = [turn.call.to_json() for turn in play(get_task(task), split, SEED, "expert").turns]
    return [one for one in calls if not {one["action_name"], *map(str, one["parameters"].values())} & ends]


def probes(task: str, split: str, key: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Everything that can be asked about a running episode, and what is no answer's business."""
    wanted = {"task_name": task, "split": split, "seed": SEED}
    parts = ("observation", "report", "report?states=true", "expert", "report?debug=true&admin=1")
    for path in (
        f"/state?episode_id={ID}",
        *(f"/episodes/{ID}/{part}" for part in parts),
        *("/tasks", "/schema", "/policies", "/metadata", "/list_environments", "/safeact/splits"),
        *("/health", "/ready", "/openapi.json"),
        "/demo/../pyproject.toml",
        "/demo/%2e%2e/tasks/easy.py",
        "/demo/..%2f..%2fsafeact_env/tasks/data/easy.toml",
        "/demo//etc/passwd",
    ):
        yield "GET", path, {}
    for path, body in (
        ("/grader", {"episode_id": ID}),
        ("/grader", {"episode_id": ID, "history": [], "final_state": {}}),
        ("/reset", {**wanted, "episode_id": ID, "seed": SEED + 1}),
        ("/reset", {**wanted, "facts": True}),
        ("/step", {"episode_id": ID, "action": {"action_name": "", "parameters": {}, "reasoning": "x"}}),
        ("/step", {"episode_id": ID, "action": {"action_name": "x", "parameters": {"a": {}}}}),
        ("/step", {"episode_id": OTHER, "action": careful_calls(task, split)[0]}),
        ("/watch", {**wanted, "split": "test"}),
        ("/safeact/task", {"split": split, "index": 5 * SEED + OFFICIAL.index(task)}),
        ("/safeact/task_range", {"split": split, "start": 5 * SEED, "stop": 5 * SEED + 5}),
        ("/baseline", {"agent": "expert", "task_name": task, "seeds": [SEED], "oracle": True}),
        ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}),
        ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "resources/list", "params": {}}),
        ("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "state"}}),
    ):
        yield "POST", path, {"json": body, "headers": {"X-Episode-Id": ID}}
    yield "POST", "/step", {"content": b"{", "headers": {"Content-Type": "application/json"}}
    yield "DELETE", f"/episodes/{OTHER}", {}
    own = {"headers": {**JSON_TYPES, "Authorization": f"Bearer {key}"}}
    for method in ("tools/list", "resources/list", "prompts/list"):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
        yield "POST", f"/episodes/{ID}/mcp", {"json": message, **own}
    yield "GET", "/state", own
    yield "POST", "/step", {"json": {"action": {"action_name": "x"}}, **own}


def played(client: TestClient, task: str, split: str) -> Iterator[Any]:
    """What a stranger sees who asks everything before and after every careful step."""
    wanted = {"task_name": task, "split": split, "seed": SEED}
    start = client.post("/reset", json={**wanted, "episode_id": ID})
    key = start.json()["agent_key"]
    yield seen(start)
    calls = careful_calls(task, split)
    for number in range(len(calls) + 1):
        if number in (0, 1, len(calls)):
            yield from (seen(client.request(m, path, **more)) for m, path, more in probes(task, split, key))
            yield counted(client.get("/metrics").text)
        if number < len(calls):
            yield seen(client.post("/step", json={"episode_id": ID, "action": calls[number]}))
    # The next task has an episode of this id.
    yield seen(client.delete(f"/episodes/{ID}"))


def counted(metrics: str) -> list[str]:
    """The lines of metrics that are not about time, memory or the processor."""
    return [line for line in metrics.splitlines() if not re.match(r"#|process_|safeact_\w*_seconds", line)]


def socketed(client: TestClient, task: str, split: str) -> Iterator[str]:
    """The same over a WebSocket, with frames that nobody should send."""
    with pytest.MonkeyPatch.context() as patch:
        if client.twin:
            use_twin(patch)
        with client.websocket_connect("/ws") as socket:
            frames: list[Any] = [
                {
                    "type": "reset",
                    "data": {"task_name": task, "split": split, "seed": SEED, "episode_id": ID},
                },
                {"type": "state"},
                {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}},
                {"type": "facts"},
                {"type": "step", "data": {"action_name": "x"}},
                {"type": "step", "data": {"type": "list_tools"}},
            ]
            frames += [{"type": "step", "data": call} for call in careful_calls(task, split)]
            for frame in [*frames, {"type": "state"}]:
                socket.send_json(frame)
                yield VOLATILE.sub("ID", socket.receive_text())


def difference(task: str, split: str, servers: list[TestClient]) -> tuple[Any, Any] | None:
    """The first answer by which the two servers can be told apart."""
    for pair in zip(*(played(one, task, split) for one in servers), strict=True):
        if pair[0] != pair[1]:
            return pair
    for pair in zip(*(socketed(one, task, split) for one in servers), strict=True):
        if pair[0] != pair[1]:
            return pair
    return None


# What a server tells of a split differs in who may know the way through it, not by task.
@pytest.mark.parametrize(("task", "split"), [*((task, "test") for task in OFFICIAL), (OFFICIAL[0], "train")])
def test_no_transport_tells_which_look_alike_works(task, split, servers):
    assert difference(task, split, servers) is None


# Servers that tell ---------------------------------------------------------------------------------------


def working(episode: Episode[Any]) -> str:
    return episode.state.upkeep.working


def tell_in_state(monkeypatch: pytest.MonkeyPatch) -> None:
    from safeact_env.server.http import episodes

    real = episodes.state_of

    def telling(name, episode, **options):
        return real(name, episode, **options).model_copy(update={"task_name": working(episode)})

    monkeypatch.setattr(episodes, "state_of", telling)


def tell_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sessions.SessionService.grade

    def telling(self, name, *, finish=False):
        try:
            return real(self, name, finish=finish)
        except sessions.SessionError as error:
            error.message += working(self.get(name).episode)
            raise

    monkeypatch.setattr(sessions.SessionService, "grade", telling)


def tell_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of an episode that still runs, with what its look-alikes are."""
    real = sessions.report

    def telling(self, name, *, states=False):
        episode = self.get(name).episode
        return {**real(episode, states=states), "working": working(episode)}

    monkeypatch.setattr(sessions.SessionService, "report", telling)


def tell_in_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Counters.started

    def telling(self, episode):
        real(self, episode)
        self.numbers.counts["outcomes", episode.task.name, working(episode)] += 1

    monkeypatch.setattr(Counters, "started", telling)


def tell_in_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    from safeact_env.server.mcp import tools

    real = tools.tools_of

    def telling(episode):
        return sorted(real(episode), key=lambda tool: tool["name"] != working(episode))

    monkeypatch.setattr(tools, "tools_of", telling)


def tell_by_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    from safeact_env.server import responses

    real = responses.answer_json

    def telling(episode, *args):
        # An answer of another length is another Content-Length.
        return real(episode, *args) + b" " * (1 + sum(map(ord, working(episode))) % 97)

    from safeact_env.server.http import episodes, steps
    from safeact_env.server.websocket import routes

    for module in (episodes, routes, steps):
        monkeypatch.setattr(module, "answer_json", telling)


@pytest.mark.parametrize(
    "broken",
    [
        *(tell_in_state, tell_in_an_error, tell_in_the_report),
        *(tell_in_the_metrics, tell_in_the_tools, tell_by_a_header),
    ],
)
def test_a_server_that_tells_is_caught(broken: Callable[[pytest.MonkeyPatch], None], servers, monkeypatch):
    broken(monkeypatch)
    telling = two_servers()
    for one, sound in zip(telling, servers, strict=True):
        # It takes longer to make than all the rest, and says nothing of an episode.
        one.app.openapi_schema = sound.app.openapi()
        one.portal = sound.portal
    assert difference("easy", "train", telling) is not None


def test_the_two_servers_differ_where_they_should():
    """The twin is one: an act that reveals tells the servers apart."""
    _start, *touched = swapped(get_task("easy"), "train", SEED)
    answers = []
    for client in two_servers():
        client.post("/reset", json={"task_name": "easy", "seed": SEED, "episode_id": ID})
        about = {"action_name": touched[0]}
        read = {"action_name": "read_runbook", "parameters": about, "reasoning": "Safe?"}
        answers.append(client.post("/step", json={"episode_id": ID, "action": read}).text)
    assert answers[0] != answers[1]


# Held-out scenarios --------------------------------------------------------------------------------------


def solutions_told(client: TestClient) -> list[str]:
    """The routes that hand out a way through a scenario of the split `test`."""
    wanted = {"task_name": "easy", "split": "test", "seed": SEED}
    told = []
    if client.post("/watch", json=wanted).status_code != 403:
        told.append("watch")
    name = client.post("/reset", json=wanted).json()["episode_id"]
    for path in ("report", "expert"):
        if client.get(f"/episodes/{name}/{path}").status_code != 409:
            told.append(f"{path} of a running episode")
    client.post("/grader", json={"episode_id": name, "finish": True})
    if client.get(f"/episodes/{name}/expert").status_code != 403:
        told.append("expert")
    played = client.post("/baseline", json={"task_name": "easy", "split": "test", "seeds": [SEED]}).json()
    if set(played["episodes"][0]) != {
        *("task_name", "seed", "split", "level", "framing", "score", "outcome", "steps")
    }:
        told.append("baseline")
    return told


def test_the_way_through_a_held_out_scenario_is_not_told(client):
    assert solutions_told(client) == []


def test_a_server_that_tells_the_way_is_caught(monkeypatch):
    real = sessions.SessionService.grade
    monkeypatch.setattr(
        sessions.SessionService, "grade", lambda self, name, finish=False: real(self, name, finish=True)
    )
    with TestClient(create_app(Settings())) as client:
        assert "report of a running episode" in solutions_told(client)


# Money ---------------------------------------------------------------------------------------------------

TOKEN = "the-operators-token"
LLM = {"agent": "llm", "task_name": "easy", "seeds": [0]}
FROM_AFAR = [
    {},
    {"Host": "localhost"},
    {"Host": "127.0.0.1:7860"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1, 127.0.0.1", "Host": "localhost"},
    {"Forwarded": "for=127.0.0.1;host=localhost"},
    {"X-Real-IP": "127.0.0.1", "X-Forwarded-Host": "localhost"},
    {"Authorization": "Bearer "},
    {"Authorization": f"Bearer {TOKEN}"},
    {"Cookie": f"token={TOKEN}"},
]
FROM_HERE = [
    # A name that was made to point to this address, and a proxy on this machine.
    {"Host": "rebound.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "127.0.0.1.nip.example:7860"},
    {"Host": "localhost", "X-Forwarded-For": "203.0.113.9"},
    {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"},
    {"Host": "localhost", "Forwarded": "for=203.0.113.9"},
    {"Host": "localhost", "X-Real-IP": "203.0.113.9"},
    {"Host": "localhost", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Host": "localhost", "Origin": "https://evil.example"},
]
GUESSES = [
    {},
    {"Authorization": "Bearer guess"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Basic {TOKEN}"},
    {"X-Api-Key": TOKEN, "Cookie": f"SAFEACT_API_TOKEN={TOKEN}"},
]
BODIES = [
    {**LLM, "api_base_url": "https://evil.example/v1"},
    {**LLM, "model": "dearest"},
    {**LLM, "api_key": "mine"},
    {**LLM, "seeds": list(range(101))},
    {**LLM, "agent": "llm "},
    {**LLM, "agent": "LLM"},
]


@pytest.fixture
def asked(monkeypatch):
    """How often the model was played; nobody is really asked."""
    played: list[Any] = []

    async def run_model(wanted, *_args):
        played.append(wanted)
        return {"agent": "llm", "scores": {}, "episodes": [], "errors": {}}

    monkeypatch.setattr(catalog, "run_model", run_model)
    return played


@cache
def app_with(token: str | None) -> FastAPI:
    """An app that the attacks have in common."""
    return create_app(Settings(api_token=token))


def attack(asked: list[Any]) -> int:
    """Try everything; how often the model was played."""
    before = len(asked)
    open_app, closed_app = app_with(None), app_with(TOKEN)
    far, here = ("203.0.113.9", 1), ("127.0.0.1", 1)
    for app, client, attempts in (
        (open_app, far, FROM_AFAR),
        (open_app, here, FROM_HERE),
        (closed_app, far, GUESSES),
        (closed_app, here, [{"Host": "localhost"}, *GUESSES]),
    ):
        stranger = TestClient(app, client=client)
        for headers in attempts:
            stranger.post("/baseline", json=LLM, headers=headers)
    own = TestClient(open_app, client=here, base_url="http://localhost")
    for body in BODIES:
        assert own.post("/baseline", json=body).status_code == 422
    return len(asked) - before


def test_nobody_else_can_have_the_model_played(asked):
    assert attack(asked) == 0


def test_the_operator_can(asked):
    own = TestClient(app_with(None), client=("127.0.0.1", 1), base_url="http://localhost:7860")
    assert own.post("/baseline", json=LLM).status_code == 200
    # As a header: a test client of older releases cannot read such an address.
    own6 = TestClient(app_with(None), client=("::1", 1))
    assert own6.post("/baseline", json=LLM, headers={"Host": "[::1]:7860"}).status_code == 200
    closed = TestClient(app_with(TOKEN), client=("203.0.113.9", 1))
    shown = {"Authorization": f"Bearer {TOKEN}"}
    assert closed.post("/baseline", json=LLM, headers=shown).status_code == 200
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (catalog, "from_this_machine", lambda scope: True),
        (access, "FORWARDED", ()),
        (access, "LOOPBACK_NAMES", type("All", (), {"__contains__": lambda self, name: True})()),
        (access, "LOOPBACK", type("All", (), {"__contains__": lambda self, name: True})()),
        (access.AccessMiddleware, "_has_token", lambda self, scope: True),
        (access.AccessMiddleware, "_is_of_another_site", lambda self, scope: False),
    ],
)
def test_a_server_that_lets_others_spend_is_caught(asked, monkeypatch, module, name, value):
    monkeypatch.setattr(module, name, value)
    assert attack(asked) > 0


def test_a_refusal_names_no_secret(asked, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-operators-key")
    for app in (app_with(None), app_with(TOKEN)):
        answer = TestClient(app).post("/baseline", json=LLM)
        said = json.dumps(dict(answer.headers)) + answer.text
        assert answer.status_code in (401, 403)
        assert TOKEN not in said
        assert "sk-the" not in said
