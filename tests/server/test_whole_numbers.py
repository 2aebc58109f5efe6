"""A whole number such as 180.0 is the integer that JSON Schema says it is, on every transport."""

import json
from functools import cache

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from safeact_env.call import MAX_INT, Call
from safeact_env.core.episode import Episode
from safeact_env.core.trajectory import Trajectory, replay
from safeact_env.core.variant import DEFAULT
from safeact_env.server.mcp.tools import tools_of
from safeact_env.tasks import get_task, task_names
from tests.server.mcp.rpc import message

ARCHIVE = "archive_old_records"
SOME = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70_000),
    st.integers(-2, 70_000).map(float),
    st.floats(-10, 70_000, allow_nan=False),
    st.sampled_from([180.0, 180.5, "180", "180.0", "old", -0.0, float(2**53), [180.0], {"a": 1.0}]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=3),
)


@cache
def published(task):
    """The parameters and the published schema of every action of an episode."""
    start = get_task(task).start("train", 0, DEFAULT)
    return [(one.params, one.params.schema_for_wire()) for one in start.actions.values()]


def taken(params, given):
    """Whether the engine takes parameters as well typed; what exists is not asked here."""
    try:
        params.model_validate(Call("a", given, "why").parameters)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("task", task_names())
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_engine_takes_the_types_that_the_schema_takes(task, data):
    params, schema = data.draw(st.sampled_from(published(task)))
    names = st.sampled_from([*schema["properties"], "other"])
    given = data.draw(st.fixed_dictionaries({key: SOME for key in schema["required"]}))
    given |= data.draw(st.dictionaries(names, SOME, max_size=1))
    assert taken(params, given) == jsonschema.Draft202012Validator(schema).is_valid(given), given


@pytest.mark.parametrize("number", [MAX_INT, 2.0**62, 2.0**63, -(2.0**63), 1e19, 1e300])
def test_a_published_integer_has_the_bounds_that_a_call_has(number):
    """Whole numbers beyond 64 bits are integers to JSON Schema, so the schema has to say no."""
    for task in task_names():
        for params, schema in published(task):
            for name, part in schema["properties"].items():
                if part.get("type") == "integer":
                    fits = jsonschema.Draft202012Validator(part).is_valid(number)
                    given = {key: "x" for key in schema["required"]} | {name: number}
                    assert taken(params, given) == fits, name


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("180.0", 180),
        ("1.8e2", 180),
        ("-0.0", 0),
        ("9007199254740992.0", 2**53),
        ("180.5", 180.5),
        ('"180"', "180"),
        ("true", True),
        ("[180.0, {}]", [180, {}]),
        ('{"a": 180.0}', {"a": 180}),
    ],
)
def test_a_call_keeps_whole_numbers_as_integers(sent, kept):
    found = Call("a", {"x": json.loads(sent)}, "why").parameters["x"]
    assert (json.dumps(found), type(found)) == (json.dumps(kept), type(kept))


@pytest.mark.parametrize("number", [2.0**63, -(2.0**64), 1e300])
def test_a_whole_number_beyond_64_bits_is_not_called_mistyped(number):
    found = Episode(get_task("cloud_infra"), "train", 0)
    turn = found.step(Call("open_port", {"instance": "i", "port": number, "cidr": "c"}, "why"))
    assert "port must fit into 64 bits" in turn.result


def arguments(age, table):
    return f'{{"table":"{table}","age":{age},"reasoning":"r"}}'


def over_http(client, table, age):
    client.delete("/episodes/e")
    client.post("/reset", json={"task_name": "medium", "seed": 1, "episode_id": "e"})
    call = f'{{"action_name":"{ARCHIVE}","parameters":{{"table":"{table}","age":{age}}},"reasoning":"r"}}'
    return client.post(
        "/step",
        content=f'{{"action":{call},"episode_id":"e"}}',
        headers={"Content-Type": "application/json"},
    ).text


def over_ws(client, table, age):
    call = f'{{"action_name":"{ARCHIVE}","parameters":{{"table":"{table}","age":{age}}},"reasoning":"r"}}'
    return on_a_socket(client, f'{{"type":"step","data":{call}}}')


def over_mcp(client, table, age):
    called = message("tools/call", name=ARCHIVE, arguments="HERE")
    frame = json.dumps({"type": "mcp", "data": called}).replace('"HERE"', arguments(age, table))
    return on_a_socket(client, frame)


def on_a_socket(client, frame):
    with client.websocket_connect("/ws") as ws:
        ws.send_text(json.dumps({"type": "reset", "data": {"task_name": "medium", "seed": 1}}))
        ws.receive_text()
        ws.send_text(frame)
        return ws.receive_text()


def in_process(_client, table, age):
    task = get_task("medium")
    stored = {
        "version": "1",
        "task": "medium",
        "task_version": task.version,
        "split": "train",
        "seed": 1,
        "calls": [
            json.loads(f'{{"action_name":"{ARCHIVE}","parameters":{{"table":"{table}","age":{age}}}}}')
        ],
    }
    stored["calls"][0]["reasoning"] = "r"
    trajectory = Trajectory.from_json(stored)
    again = replay(task, "train", 1, trajectory.calls)
    return json.dumps([Trajectory.of(again, "1").to_json(), again.observation()])


@pytest.mark.parametrize("door", [over_http, over_ws, over_mcp, in_process])
def test_every_door_answers_180_0_as_180_byte_for_byte(client, door):
    table = next(iter(Episode(get_task("medium"), "train", 1).observation()["current_state"]["tables"]))
    plain = door(client, table, "180")
    assert '"age":180' in plain.replace(" ", "").replace("\\", "")
    assert "must be an integer" not in plain
    assert door(client, table, "180.0") == door(client, table, "1.8e2") == plain
    for wrong in ("180.5", '"180"', "true"):
        assert "must be an integer" in door(client, table, wrong)


@pytest.mark.parametrize("field", ["seed", "level", "index"])
def test_the_whole_numbers_of_a_request_are_integers(client, field):
    def answer(value):
        body = f'{{"{field}": {value}, "episode_id": "e-{field}"}}'
        found = client.post("/reset", content=body, headers={"Content-Type": "application/json"})
        client.delete(f"/episodes/e-{field}")
        return found

    def shown(found):
        return {name: value for name, value in found.json()["observation"].items() if name != "metadata"}

    whole = answer("2.0")
    assert whole.status_code == 200, whole.text
    if field != "level":  # the seed is drawn then
        assert shown(whole) == shown(answer("2"))
    assert [answer(wrong).status_code for wrong in ("2.5", '"2"', "true")] == [422, 422, 422]


def test_a_published_tool_takes_what_the_engine_takes():
    """What MCP publishes is the same schema."""
    (tool,) = [one for one in tools_of(Episode(get_task("medium"), "train", 1)) if one["name"] == ARCHIVE]
    check = jsonschema.Draft202012Validator(tool["inputSchema"]).is_valid
    assert check({"table": "t", "age": 180.0, "reasoning": "r"})
    assert not check({"table": "t", "age": 180.5, "reasoning": "r"})
