"""What TRL is given to work with, without TRL: tools, episodes, rewards, servers that fail."""

import inspect
import json
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, get_type_hints

import pytest

from safeact_env import Call, Episode, get_task
from safeact_env.core.action import Params
from safeact_env.core.task import SPLITS
from safeact_env.integrations import backends as backends
from safeact_env.integrations.chat import OVER, Chat
from safeact_env.integrations.shaping import UNSHAPED, Shaping
from safeact_env.integrations.toolset import UPKEEP, Toolset, toolset_of
from safeact_env.integrations.trl import environment, environments, rows
from safeact_env.llm.prompts import get_prompt
from safeact_env.policies.reference import POLICIES, make_policy, play
from safeact_env.server.settings import Settings
from safeact_env.tasks import OFFICIAL
from tests.conftest import running
from tests.integrations.rollouts import VARIED, played
from tests.play import unscored
from tests.toy import TOY, with_action

WHY = {"reasoning": "a test"}


def tools_of(found: type[Any]) -> list[str]:
    """The tools of a class, as TRL finds them."""
    names = [name for name, _ in inspect.getmembers(found, predicate=inspect.isfunction)]
    return [name for name in names if name not in ("reset", "get_reward") and not name.startswith("_")]


def do(env: Any, call: Call) -> str:
    """Make a call as a model would, through the tool that means it."""
    name, arguments = env._chat.tools.use(call)
    return getattr(env, name)(**arguments)


# Tools -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OFFICIAL)
def test_the_tools_are_the_actions_of_the_task_and_one_for_the_upkeep(task):
    assert tools_of(environment(task)) == sorted([*get_task(task).schemas, UPKEEP])
    public = {name for name in dir(environment(task)()) if not name.startswith("_")}
    assert public == {*get_task(task).schemas, UPKEEP, "reset", "get_reward"}


@pytest.mark.parametrize("task", OFFICIAL)
def test_every_tool_has_a_typed_signature_and_a_documented_argument_for_each(task):
    found = environment(task)
    for name in tools_of(found):
        method = getattr(found(), name)
        parameters = inspect.signature(method).parameters
        assert method.__name__ == name
        assert next(iter(parameters)) == "reasoning"
        assert parameters["reasoning"].default is inspect.Parameter.empty
        assert get_type_hints(method) == {
            **{key: one.annotation for key, one in parameters.items()},
            "return": str,
        }
        said, _, documented = inspect.getdoc(method).partition("\n\nArgs:\n")
        assert said
        assert [line.split(":")[0].strip() for line in documented.splitlines()] == list(parameters)
        published = get_task(task).schemas.get(name)
        if published:
            required = {key for key, one in parameters.items() if one.default is inspect.Parameter.empty}
            assert required - {"reasoning"} == set(published["required"])
            assert set(parameters) - {"reasoning"} == set(published["properties"])


def test_types_are_those_of_the_action_table():
    parameters = inspect.signature(environment("cloud_infra").open_port).parameters
    assert [str(one) for one in parameters.values()] == [
        "self", "reasoning: str", "instance: str", "port: int", "cidr: str"
    ]  # fmt: skip
    assert "Literal['old', 'new']" in str(inspect.signature(environment("hard").switch_traffic))
    asked = inspect.signature(environment("medical").escalate_to_physician)
    assert "drug: str | None = None" in str(asked)
    assert "By default administer_drug." in environment("medical").escalate_to_physician.__doc__


@pytest.mark.parametrize("task", OFFICIAL)
def test_no_tool_names_a_look_alike_or_depends_on_the_scenario_or_the_split(task):
    texts = json.dumps(toolset_of(get_task(task)).schemas())
    data = get_task(task).text.data
    for split in SPLITS:
        for row in [*data[split]["lookalikes"], *data[split].get("canonical", [])]:
            assert row["name"] not in texts
    one, other = environment(task), environment(task, split="test")
    assert [str(inspect.signature(getattr(one, name))) for name in tools_of(one)] == [
        str(inspect.signature(getattr(other, name))) for name in tools_of(other)
    ]


@pytest.mark.parametrize("task", OFFICIAL)
@pytest.mark.parametrize("seed", range(4))
def test_of_the_look_alikes_nothing_is_shown_but_what_the_observation_lists(task, seed):
    env = environment(task)()
    text = env.reset(seed=seed)
    episode = Episode(get_task(task), "train", seed)
    available = episode.observation()["available_actions"]
    listed = [row for row in available if row["name"] in episode.state.upkeep.runbooks]
    *_, section = text.split("\n\n")
    head, *lines = section.splitlines()
    assert UPKEEP in head
    assert [line.split("(")[0] for line in lines] == [f"- {row['name']}" for row in listed]
    assert all(row["description"] in line for row, line in zip(listed, lines, strict=True))


def test_the_upkeeps_tool_takes_a_table_in_medium_for_whichever_look_alike():
    env = environment("medium")()
    for seed in range(40):
        env.reset(seed=seed)
        names = [row["name"] for row in toolset_of(get_task("medium")).upkeep_actions(env._shown)]
        if "optimize_table_storage" in names:
            break
    table = next(iter(env._shown["current_state"]["tables"]))
    other = next(name for name in names if name != "optimize_table_storage")
    assert "table is missing" in env.run_upkeep(**WHY, action_name="optimize_table_storage")
    assert "not a parameter" in env.run_upkeep(**WHY, action_name=other, table=table)
    assert env.get_reward() == -0.1
    # A model that fills in every argument says null for what it leaves out.
    assert "not a parameter" not in env.run_upkeep(**WHY, action_name=other, table=None)


def test_a_task_whose_actions_have_a_tools_or_trls_names_is_refused(monkeypatch):
    from dataclasses import replace

    def renamed(name):
        first = next(action for action in TOY.actions if action.name not in ("finish",))
        texts = TOY.text
        descriptions = {name if k == first.name else k: v for k, v in texts.descriptions.items()}
        runbooks = {name if k == first.name else k: v for k, v in texts.runbooks.items()}
        return replace(
            TOY,
            actions=tuple(replace(a, name=name) if a is first else a for a in TOY.actions),
            text=replace(texts, descriptions=descriptions, runbooks=runbooks),
        )

    with pytest.raises(ValueError, match="run_upkeep"):
        Toolset(renamed(UPKEEP))

    class Explained(Params):
        reasoning: str

    with pytest.raises(ValueError, match="a parameter of paint has a name"):
        Toolset(with_action("paint", params=Explained))
    monkeypatch.setattr("safeact_env.integrations.trl.get_task", lambda _name: renamed("reset"))
    with pytest.raises(ValueError, match="reset"):
        environment("toy")


@pytest.mark.parametrize("task", OFFICIAL)
def test_a_call_becomes_a_tools_use_and_back(task):
    tools = toolset_of(get_task(task))
    for policy in ("expert", "guesser", "random"):
        for turn in play(get_task(task), "train", 5, policy).turns:
            name, arguments = tools.use(turn.call)
            assert tools.call(name, arguments) == turn.call


# Episodes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OFFICIAL)
@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"look_only"}))
def test_the_reward_is_the_return_of_the_episode_and_no_text_has_it(task, policy):
    for seed in (0, 1):
        env = environment(task)()
        texts = [env.reset(prompt=[], seed=seed, task=task)]
        player = make_policy(policy, get_task(task), seed)
        while not env._shown["done"]:
            texts.append(do(env, player.act(env._shown)))
        episode = play(get_task(task), "train", seed, policy)
        assert env.get_reward() == episode.grade().total
        assert env._shown == episode.observation()
        assert texts[-1].endswith(OVER)
        assert not any(OVER in text for text in texts[:-1])
        assert not any(
            word in unscored(text).lower() for text in texts for word in ("reward", "score", "grade:")
        )
        for text, turn in zip(texts[1:], episode.turns, strict=True):
            assert turn.result in text


def test_what_changes_in_the_state_is_told():
    env = environment("easy")()
    env.reset(seed=42)
    path = next(iter(env._shown["current_state"]["files"]))
    text = env.read_file_metadata(**WHY, path=path)
    assert f"files, {path}: " in text
    assert '"owner": ' in text


def test_after_the_end_every_tool_raises_and_nothing_changes():
    env = environment("easy")()
    env.reset(seed=1)
    env.list_directory(**WHY)
    env.finish(**WHY, summary="Done.")
    reward, shown = env.get_reward(), env._shown
    for name in tools_of(type(env)):
        with pytest.raises(ValueError, match="over"):
            getattr(env, name)(**WHY)
    assert (env.get_reward(), env._shown) == (reward, shown)
    assert "STEPS LEFT: 36" in env.reset(seed=1)
    assert env.get_reward() == 0.0


def test_before_the_first_reset_there_is_nothing():
    env = environment("easy")()
    for ask in (env.get_reward, lambda: env.list_directory(**WHY)):
        with pytest.raises(ValueError, match="reset first"):
            ask()


def test_a_wrong_call_costs_a_step_and_a_malformed_one_none():
    env = environment("easy")()
    env.reset(seed=1)
    assert "is missing" in env.archive_file(**WHY)
    assert "is not a parameter" in env.list_directory(**WHY, depth=2)
    assert "must be a string" in env.archive_file(**WHY, path=3)
    assert "There is no action" in env.run_upkeep(**WHY, action_name="tidy_everything")
    assert env.get_reward() == -0.35
    assert env._shown["steps_remaining"] == 32
    for wrong in ({}, {"reasoning": ""}, {"reasoning": 3}, {"reasoning": "x" * 4_001}):
        with pytest.raises(ValueError, match="reasoning"):
            env.list_directory(**wrong)
    with pytest.raises(ValueError, match="action_name"):
        env.run_upkeep(**WHY)
    assert env._shown["steps_remaining"] == 32
    assert env.get_reward() == -0.35


def test_rows_say_which_episode_is_played():
    env = environment("easy")()
    first = env.reset(seed=3)
    assert env.reset(seed=3, images=None, more="columns") == first
    assert env.reset(seed=4) != first
    assert env.reset(seed=3, split="test") != first
    assert environment("easy", split="test")().reset(seed=3) == env.reset(seed=3, split="test")
    assert len({env.reset() for _ in range(3)}) == 3
    for row, match in (
        ({"task": "hard"}, "plays easy"),
        ({"split": "dev"}, "train, test"),
        ({"seed": -1}, "seed must"),
        ({"seed": 2**63}, "seed must"),
        ({"seed": 1.5}, "seed must"),
        ({"seed": True}, "seed must"),
        ({"seed": "4"}, "seed must"),
    ):
        with pytest.raises(ValueError, match=match):
            env.reset(**row)


@pytest.mark.parametrize("variant", VARIED, ids=str)
def test_a_row_names_its_variant_and_the_expert_can_play_it(variant):
    whole = played("easy", 3, variant=variant)
    (row,) = rows(["easy"], [3], levels=[variant.level], framings=[variant.framing])
    assert (row["level"], row["framing"]) == (variant.level, variant.framing)
    env = environment("easy")()
    first = env.reset(**{name: value for name, value in row.items() if name != "environment"})
    assert whole.task.start("train", 3, variant).description in first
    for turn in whole.turns:
        do(env, turn.call)
    assert env.get_reward() == 1.0
    of_factory = environment("easy", **variant.to_json())()
    assert of_factory.reset(seed=3) == first
    assert of_factory.reset(seed=3, level=None, framing=None) == first, "a table fills columns with None"
    assert of_factory.reset(seed=3, level=3, framing="rules") == environment("easy")().reset(seed=3)


def test_a_wrong_variant_is_refused_and_the_episode_goes_on():
    env = environment("easy")()
    env.reset(seed=3)
    for row in ({"level": 6}, {"level": True}, {"level": "1"}, {"framing": "calm"}):
        with pytest.raises(ValueError, match=f"{next(iter(row))} must be"):
            env.reset(seed=3, **row)
    assert "files" in env.list_directory(**WHY)
    with pytest.raises(ValueError, match="level must be an integer from 1 to 5"):
        rows(["easy"], [0], levels=[9])
    with pytest.raises(ValueError, match="framing must be one of"):
        environments(framing="calm")


def test_levels_alternate_within_a_seed():
    table = rows(["easy"], range(2), levels=(1, 2, 3))
    assert [(row["seed"], row["level"]) for row in table] == [(s, n) for s in (0, 1) for n in (1, 2, 3)]


def test_instances_do_not_share_an_episode():
    found = environment("easy")
    one, other = found(), found()
    one.reset(seed=1)
    other.reset(seed=1)
    one.finish(**WHY, summary="Done.")
    assert "files" in other.list_directory(**WHY)


def test_several_tasks_have_a_class_each_and_rows_name_it():
    found = environments()
    assert list(found) == list(OFFICIAL)
    # TRL tells the rewards of different environments apart by their classes, and names columns after them.
    assert len({one.__name__ for one in found.values()}) == 5
    table = rows(("easy", "hard"), range(2), "test", "hinted")
    assert [(row["environment"], row["task"], row["split"], row["seed"]) for row in table] == [
        ("easy", "easy", "test", 0),
        ("hard", "hard", "test", 0),
        ("easy", "easy", "test", 1),
        ("hard", "hard", "test", 1),
    ]
    assert table[0]["prompt"][0]["content"] == get_prompt("hinted").opening("tools")
    for row in table:
        given = {key: value for key, value in row.items() if key != "environment"}
        assert found[row["environment"]]().reset(**given)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("no_such",), "unknown task"),
        (("easy", "localhost:7860"), "http://"),
        (("easy", None, "dev"), "split"),
    ],
)
def test_what_cannot_be_played_is_refused_at_once(arguments, match):
    with pytest.raises(ValueError, match=match):
        environment(*arguments)


def test_the_conversation_reads_the_same_in_training_and_in_data():
    task = get_task("medical")
    chat = Chat(toolset_of(task), get_prompt("neutral"))
    env = environment("medical")()
    start = env.reset(seed=7)
    episode = Episode(task, "train", 7)
    assert chat.opening(episode.observation())[1]["content"] == start
    for turn in play(task, "train", 7, "expert").turns:
        before = episode.observation()
        episode.step(turn.call)
        message = chat.result(turn.call, before, episode.observation())
        assert message == {"role": "tool", "name": message["name"], "content": do(env, turn.call)}


# Servers ---------------------------------------------------------------------------------------------------


class Wire:
    """A relay that drops connections: as many as `cut` says, each when its next answer is on the way."""

    def __init__(self, target: str) -> None:
        self.aim(target)
        self.cut = 0
        self.dropped = 0
        self._live: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._start(self._accept)

    def aim(self, target: str) -> None:
        """Where new connections lead."""
        host, _, port = target.removeprefix("http://").partition(":")
        self.target = (host, int(port))

    def drop_all(self) -> None:
        """Cut every connection that is open."""
        for pair in self._live:
            self._drop(*pair)

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self.drop_all()
        for thread in self._threads:
            thread.join(timeout=15)
        for one in [self._server, *(end for pair in self._live for end in pair)]:
            one.close()

    def _start(self, work: Any, *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(self.target, timeout=10)
                server.settimeout(None)
                self._live.append((client, server))
                self._start(self._pump, client, server, False)
                self._start(self._pump, server, client, True)

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while part := source.recv(1 << 16):
                if answers and self.cut:
                    self.cut -= 1
                    self.dropped += 1
                    break
                sink.sendall(part)
        self._drop(source, sink)

    @staticmethod
    def _drop(*ends: socket.socket) -> None:
        for one in ends:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def wired(url: str) -> Iterator[Wire]:
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.close()


def solved(env: Any, task: str, seed: int, between: Any = lambda: None) -> float:
    """Play the expert's calls."""
    env.reset(seed=seed)
    for turn in play(get_task(task), "train", seed, "expert").turns:
        between()
        do(env, turn.call)
    return env.get_reward()


@pytest.mark.parametrize("task", OFFICIAL)
def test_over_a_server_the_same_episode_is_played(task, live_url):
    here, there = environment(task)(), environment(task, live_url)()
    assert there.reset(seed=9) == here.reset(seed=9)
    for turn in play(get_task(task), "train", 9, "guesser").turns:
        assert do(there, turn.call) == do(here, turn.call)
    assert there.get_reward() == here.get_reward()
    with pytest.raises(ValueError, match="over"):
        there.finish(**WHY, summary="Done.")


@pytest.fixture
def short_pauses(monkeypatch):
    """A client that loses its connection asks again soon."""
    monkeypatch.setattr("safeact_env.client.http.FIRST_PAUSE_S", 0.01)


@pytest.mark.usefixtures("short_pauses")
def test_a_dropped_connection_loses_neither_a_reset_nor_a_step(live_url):
    with wired(live_url) as wire:
        env = environment("easy", wire.url)()
        env.reset(seed=1)
        # An answer that never comes, and connections that died while the trainer was busy.
        wire.cut = 2
        assert env.reset(seed=2) == environment("easy")().reset(seed=2)
        assert wire.dropped == 2
        wire.drop_all()
        assert env.reset(seed=3) == environment("easy")().reset(seed=3)

        def cut() -> None:
            wire.cut = 1

        assert solved(env, "easy", 4, cut) == 1.0
        assert wire.dropped > 10


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_was_started_again_is_played_on(monkeypatch):
    monkeypatch.setattr(backends, "RETRIES", 2)
    with running(Settings()) as first, running(Settings()) as second, wired(first) as wire:
        env = environment("hard", wire.url)()
        env.reset(seed=5)
        calls = [turn.call for turn in play(get_task("hard"), "train", 5, "expert").turns]
        for call in calls[:9]:
            do(env, call)
        # The new process knows none of the episodes.
        wire.aim(second)
        wire.drop_all()
        for call in calls[9:]:
            do(env, call)
        assert env.get_reward() == 1.0


def test_without_its_server_an_episode_has_no_reward(monkeypatch, live_url):
    monkeypatch.setattr(backends, "RETRIES", 0)
    with wired(live_url) as wire:
        env = environment("easy", wire.url)()
        env.reset(seed=1)
        wire.cut = 1
        with pytest.raises(RuntimeError, match="no answer"):
            env.list_directory(**WHY)
        with pytest.raises(RuntimeError, match="reward is not known"):
            env.get_reward()
        env.reset(seed=1)
        assert env.get_reward() == 0.0


def test_episodes_are_not_left_on_the_server(live_url):
    import httpx

    env = environment("easy", live_url)()
    env.reset(seed=1)
    first = env._backend._client.episode_id
    env.reset(seed=2)
    assert httpx.get(f"{live_url}/state?episode_id={first}").status_code == 404


def test_a_server_with_another_version_of_the_task_is_refused(monkeypatch, live_url):
    from dataclasses import replace

    later = replace(get_task("easy"), version=get_task("easy").version + 1)
    with pytest.raises(backends.WrongServer, match=f"version {later.version}"):
        backends.ServerBackend(later, live_url).begin("train", 0)
    unknown = replace(get_task("easy"), name="other")
    with pytest.raises(backends.WrongServer, match="has none"):
        backends.ServerBackend(unknown, live_url).begin("train", 0)


def test_headers_are_sent(live_url):
    from safeact_env.client import SafeActHTTPClient

    env = environment("easy", live_url, headers={"Authorization": "Bearer secret"})()
    env.reset(seed=1)
    client: SafeActHTTPClient = env._backend._client
    assert client._client.headers["authorization"] == "Bearer secret"


# Pickles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", OFFICIAL)
def test_a_class_is_pickled_as_the_call_that_made_it(task):
    made = environment(task, split="test", level=2, framing="goal", shaping=Shaping(-0.5, -0.1))
    again = pickle.loads(pickle.dumps(made))
    assert again._recipe == made._recipe
    assert tools_of(again) == tools_of(made)
    one, other = made(), again()
    assert other.reset(seed=4) == one.reset(seed=4)
    do(one, Call("finish", {"summary": "Done."}, "a test"))
    do(other, Call("finish", {"summary": "Done."}, "a test"))
    assert other.get_reward() == one.get_reward() == -0.1


def test_classes_are_read_in_a_fresh_process():
    code = "import pickle, sys; found = pickle.load(sys.stdin.buffer); print(found['hard']().reset(seed=3))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(environments()), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == environments()["hard"]().reset(seed=3).strip()


def test_the_base_class_is_pickled_by_its_name():
    base = environment("easy").__base__
    assert pickle.loads(pickle.dumps(base)) is base


# What is paid in training ----------------------------------------------------------------------------------


def paid(policy, task, seed, shaping):
    """What TRL is told after an episode of a policy, and the episode."""
    env = environment(task, shaping=shaping)()
    env.reset(seed=seed)
    player = make_policy(policy, get_task(task), seed)
    while not env._shown["done"]:
        do(env, player.act(env._shown))
    return env.get_reward(), play(get_task(task), "train", seed, policy)


@pytest.mark.parametrize("task", OFFICIAL)
def test_a_shaping_changes_what_a_mistake_and_doing_nothing_pay_and_nothing_else(task):
    shaping = Shaping(mistake=-0.25, idle=-0.5)
    for policy, more in (("expert", 0.0), ("cautious", 0.0), ("do_nothing", -0.5), ("guesser", 0.75)):
        seed = next(
            seed
            for seed in range(20)
            if policy != "guesser" or played(task, seed, policy).outcome == "irreversible_mistake"
        )
        reward, episode = paid(policy, task, seed, shaping)
        assert reward == pytest.approx(episode.grade().total + more)
        assert paid(policy, task, seed, UNSHAPED)[0] == episode.grade().total


def test_an_episode_that_is_cut_short_is_idle_until_it_earns():
    env = environment("easy", shaping=Shaping(idle=-0.5))()
    env.reset(seed=42)
    env.list_directory(**WHY)
    assert env.get_reward() == -0.5
    for path in env._shown["current_state"]["files"]:
        env.read_file_metadata(**WHY, path=path)
    assert env.get_reward() > 0.0
    env.reset(seed=42)
    assert env.get_reward() == -0.5


@pytest.mark.parametrize("wrong", [0.1, -1.01, float("nan"), float("-inf"), True, "-1", None])
@pytest.mark.parametrize("name", ["mistake", "idle"])
def test_a_shaping_out_of_range_is_refused(name, wrong):
    with pytest.raises(ValueError, match=f"{name} must be a number from -1 to 0"):
        Shaping(**{name: wrong})
