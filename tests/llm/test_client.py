"""One endpoint, asked: over real HTTP, against a scripted server."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from safeact_env.llm import client as module
from safeact_env.llm.call_formats import Unreadable, read
from safeact_env.llm.client import EndpointClient, RetryPolicy
from safeact_env.llm.errors import ContextFull, Failed, Rejected, Unusable
from safeact_env.llm.settings import NO_KEY, Endpoint
from tests.llm.conftest import endpoint_at
from tests.llm.providers import streamed
from tests.llm.stub import KEY, MODEL, Reply, calls, fails, free_port, in_turn, says

ASK = [{"role": "user", "content": "hello"}]


async def ask(endpoint, retry=None, form=None, temperature=0.0, times=1, **more):
    async with EndpointClient(endpoint, retry or RetryPolicy(5, 2), temperature=temperature) as client:
        for _ in range(times):
            answer = await client.ask(ASK, form or {}, **more)
        return answer, client


async def test_an_answer_is_read_with_what_it_used(serve):
    stub = serve(in_turn(calls(("look", {"a": 1}), ("act", "{}"), text="thinking")))
    answer, _ = await ask(endpoint_at(stub))
    assert (answer.text, answer.cut) == ("thinking", False)
    assert [(call.name, call.arguments) for call in answer.calls] == [("look", '{"a": 1}'), ("act", "{}")]
    assert (answer.tokens_in, answer.tokens_out) == (100, 10)
    assert 0 <= answer.seconds < 5
    (asked,) = stub.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body == {"model": MODEL, "messages": ASK, "temperature": 0.0, "max_tokens": 4096}


async def test_azure_is_asked_in_its_own_way(serve):
    stub = serve(in_turn(says("hi")))
    endpoint = Endpoint("azure", "my-deployment", stub.url, KEY, "2024-10-21")
    await ask(endpoint)
    (asked,) = stub.asked
    assert asked.path == "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == KEY
    assert KEY not in asked.headers.get("authorization", "")


async def test_the_seed_is_sent_only_where_it_matters(serve):
    stub = serve(in_turn(says("hi")))
    await ask(endpoint_at(stub), seed=7)
    await ask(endpoint_at(stub), seed=7, temperature=0.5)
    assert "seed" not in stub.asked[0].body
    assert (stub.asked[1].body["seed"], stub.asked[1].body["temperature"]) == (7, 0.5)


# Again ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_what_may_pass_is_asked_again(serve, status):
    stub = serve(in_turn(fails(status), fails(status), says("there")))
    answer, client = await ask(endpoint_at(stub))
    assert answer.text == "there"
    assert (len(stub.asked), client.retried) == (3, 2)


async def test_after_the_last_retry_the_failure_is_told(serve):
    stub = serve(in_turn(fails(500, "the model\nfell over")))
    with pytest.raises(Failed, match="did not answer after 3 attempts: HTTP status 500: the model fell over"):
        await ask(endpoint_at(stub))
    assert len(stub.asked) == 3


@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_is_waited_for(serve, as_date):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    stub = serve(in_turn(fails(429, Retry_After=soon if as_date else "1"), says("there")))
    started = time.perf_counter()
    await ask(endpoint_at(stub))
    # A date has whole seconds, so of its two only one is certain.
    assert 0.9 <= time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("7", 7, 7), ("9999", 60, 60), ("-5", 0, 1), ("x", 0, 1)]
)
def test_a_pause_is_bounded(asked, least, most):
    assert least <= module._pause(0, asked) <= most


def test_pauses_grow(monkeypatch):
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 1.0)
    assert [module._pause(attempt, None) / module.FIRST_PAUSE_S for attempt in range(4)] == [1, 2, 4, 8]


async def test_an_answer_that_takes_too_long_is_asked_for_again(serve):
    slow = Reply(says("late").body, wait_s=4)
    stub = serve(in_turn(slow, says("there")))
    answer, _ = await ask(endpoint_at(stub), RetryPolicy(timeout_s=1.5, retries=1))
    assert answer.text == "there"
    with pytest.raises(Failed, match=r"no answer within 0\.1 s"):
        await ask(endpoint_at(serve(in_turn(slow))), RetryPolicy(timeout_s=0.1, retries=1))


async def test_the_whole_takes_no_longer_than_it_may(serve):
    stub = serve(in_turn(fails(429, Retry_After="30")))
    started = time.perf_counter()
    with pytest.raises(TimeoutError):
        await ask(endpoint_at(stub), within_s=0.3)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=b"<html>a proxy's page</html>", headers={"Content-Type": "text/html"}),
        Reply(raw=b"{not json"),
        Reply({"choices": []}),
        Reply({"choices": None}),
        Reply({"choices": [{"index": 0}]}),
        Reply([]),
    ],
)
async def test_what_is_no_completion_is_asked_for_again(serve, reply):
    stub = serve(in_turn(reply, says("there")))
    assert (await ask(endpoint_at(stub)))[0].text == "there"
    with pytest.raises(Failed, match="not a chat completion"):
        await ask(endpoint_at(serve(in_turn(reply))), RetryPolicy(5, 1))


async def test_an_odd_completion_is_read_as_far_as_it_goes(serve):
    message = {
        "role": "assistant",
        "content": 7,
        "tool_calls": [{"id": None, "function": {"name": "look"}}, 3],
    }
    stub = serve(in_turn(Reply({"choices": [{"message": message, "finish_reason": None}], "usage": None})))
    answer, _ = await ask(endpoint_at(stub))
    assert answer.text == ""
    assert [(call.name, call.arguments) for call in answer.calls] == [("look", ""), ("", "")]
    assert answer.tokens_in > 0  # estimated


# Never ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_a_wrong_key_is_told_at_once_and_not_shown(serve, status):
    stub = serve(in_turn(fails(status, f"Incorrect API key provided: {KEY}.")))
    with pytest.raises(
        Unusable, match=r"does not accept the key. Check OPENAI_API_KEY or HF_TOKEN"
    ) as caught:
        await ask(endpoint_at(stub))
    assert len(stub.asked) == 1
    assert KEY not in str(caught.value)
    assert "[key]" in str(caught.value)


async def test_a_missing_key_is_told_as_such(serve):
    with pytest.raises(Unusable, match="no key is set"):
        await ask(endpoint_at(serve(in_turn(fails(401))), key=NO_KEY))


async def test_an_unknown_model_is_told_at_once(serve):
    stub = serve(in_turn(fails(404, "no such model", "model_not_found")))
    with pytest.raises(Unusable, match=r"does not know the model stub-model.*Check MODEL_NAME and the URL"):
        await ask(endpoint_at(stub))
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    "reply", [fails(402, "pay first"), fails(429, "You exceeded your current quota", "insufficient_quota")]
)
async def test_an_account_that_is_used_up_is_told_at_once(serve, reply):
    stub = serve(in_turn(reply))
    with pytest.raises(Unusable, match="no more requests of this account"):
        await ask(endpoint_at(stub))
    assert len(stub.asked) == 1


async def test_an_endpoint_that_is_not_there_is_told_soon():
    endpoint = Endpoint("openai", MODEL, f"http://127.0.0.1:{free_port()}/v1", KEY)
    started = time.perf_counter()
    with pytest.raises(Unusable, match=r"cannot be reached.*Check the URL"):
        await ask(endpoint, RetryPolicy(5, 50))
    assert time.perf_counter() - started < 5


async def test_a_status_of_its_own_is_a_failure(serve):
    stub = serve(in_turn(fails(418, "a teapot")))
    with pytest.raises(Failed, match=r"refused the request \(418\). It says: a teapot"):
        await ask(endpoint_at(stub))
    assert len(stub.asked) == 1


# What it does not take --------------------------------------------------------------------------------------


def refuses(name):
    """An endpoint that does not take a part of the request."""
    return lambda asked: (
        fails(400, f"Unsupported parameter: '{name}'") if name in asked.body else says("there")
    )


@pytest.mark.parametrize("name", ["temperature", "tool_choice", "parallel_tool_calls"])
async def test_a_part_that_can_be_done_without_is_left_out_from_then_on(serve, name):
    stub = serve(refuses(name))
    form = {"tool_choice": "required", "parallel_tool_calls": False}
    assert (await ask(endpoint_at(stub), form=form, times=2))[0].text == "there"
    assert [name in asked.body for asked in stub.asked] == [True, False, False]


async def test_the_length_of_an_answer_is_asked_for_in_the_newer_way_where_it_must(serve):
    def script(asked):
        if "max_tokens" in asked.body:
            return fails(400, "'max_tokens' is not supported, use 'max_completion_tokens'")
        return says("there")

    stub = serve(script)
    await ask(endpoint_at(stub), times=2)
    assert [asked.body.get("max_completion_tokens") for asked in stub.asked] == [None, 4096, 4096]


async def test_a_part_that_is_needed_is_not_left_out(serve):
    with pytest.raises(Rejected, match="response_format"):
        await ask(endpoint_at(serve(refuses("response_format"))), form={"response_format": {"type": "x"}})


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This model's maximum context length is 8192 tokens"),
        (400, "request (9000 tokens) exceeds the available context size (8192 tokens)"),
        (413, "prompt is too long: 9000 tokens"),
    ],
)
async def test_a_request_that_is_too_long_is_told_apart(serve, status, message):
    with pytest.raises(ContextFull):
        await ask(endpoint_at(serve(in_turn(fails(status, message)))))


# Secrets ----------------------------------------------------------------------------------------------------


async def test_a_key_that_a_model_repeats_does_not_come_back(serve):
    stub = serve(in_turn(calls(("look", {"path": KEY}), text=f"The key is {KEY}")))
    answer, client = await ask(endpoint_at(stub))
    assert KEY not in repr(answer)
    assert KEY not in repr(client.endpoint)


async def test_nothing_that_is_logged_holds_the_key(serve, caplog):
    caplog.set_level("DEBUG")
    stub = serve(in_turn(fails(500, KEY), says(KEY)))
    await ask(endpoint_at(stub))
    with pytest.raises(Unusable):
        await ask(endpoint_at(serve(in_turn(fails(401, KEY)))))
    assert caplog.records
    assert KEY not in caplog.text


# What endpoints say in their own ways -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [{"error": "no temperature, please"}, [{"error": {"message": "temperature?"}}]]
)
async def test_what_is_refused_in_any_body_is_left_out_and_then_not_in_force(serve, body):
    stub = serve(lambda asked: Reply(body, 400) if "temperature" in asked.body else says("there"))
    answer, client = await ask(endpoint_at(stub), temperature=0.7)
    assert (answer.text, client.temperature, len(stub.asked)) == ("there", None, 2)
    _, client = await ask(endpoint_at(serve(in_turn(says("hi")))), temperature=0.7)
    assert client.temperature == 0.7


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "0.2"}, {"retry-after-ms": "200"}, {"Retry-After": "200ms"}]
)
async def test_a_limit_that_is_worded_as_billing_is_waited_for(serve, headers):
    told = "You exceeded your current quota, please check your plan and billing details."
    stub = serve(in_turn(Reply({"error": {"message": told, "code": 429}}, 429, headers), says("there")))
    started = time.perf_counter()
    answer, client = await ask(endpoint_at(stub))
    assert (answer.text, client.retried) == ("there", 1)
    assert time.perf_counter() - started >= 0.19


async def test_an_endpoint_that_only_streams_is_asked_for_a_stream(serve):
    told = "This model only support stream mode, please enable the stream parameter"
    there = streamed([{"content": "there"}])
    stub = serve(lambda asked: there if asked.body.get("stream") else fails(400, told))
    answer, _ = await ask(endpoint_at(stub), times=2)
    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("there", 7, 3)
    assert [asked.body.get("stream") for asked in stub.asked] == [None, True, True]


async def test_a_stream_that_nobody_asked_for_is_read(serve):
    answer, _ = await ask(endpoint_at(serve(in_turn(streamed([{"content": "there"}])))))
    assert answer.text == "there"


async def test_a_server_that_is_upstream_of_another_is_not_taken_for_a_stream(serve):
    stub = serve(in_turn(fails(400, "upstream error")))
    with pytest.raises(Rejected, match="upstream"):
        await ask(endpoint_at(stub))
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        ({"error": {"message": "the provider is down", "code": 502}}, Failed, "the provider is down"),
        ({"error": "the model is asleep"}, Failed, "the model is asleep"),
        ({"error": {"message": "bad key", "code": 401}}, Unusable, "bad key"),
        ({"choices": [], "detail": "nobody is here"}, Failed, "nobody is here"),
    ],
)
async def test_the_sentence_of_an_error_that_came_with_200_is_told(serve, body, error, told):
    with pytest.raises(error, match=told):
        await ask(endpoint_at(serve(in_turn(Reply(body)))), RetryPolicy(5, 1))


GARBLED = [
    # Groq: https://github.com/groq/groq-typescript/issues/28
    (400, {"message": "Failed to call a function. See 'failed_generation'.", "code": "tool_use_failed"}),
    (400, {"message": "Failed to generate JSON. Please adjust your prompt.", "code": "json_validate_failed"}),
    (400, {"message": "tool call validation failed: parameters for tool look did not match schema"}),
    # Ollama: https://github.com/ollama/ollama/issues/17638
    (500, "error parsing tool call: raw='{\"path\": \"/a\"}]', err=invalid character ']'"),
    # llama.cpp: https://github.com/ggml-org/llama.cpp/issues/23838
    (500, {"code": 500, "message": "Failed to parse input at pos 12: </tool_call>", "type": "server_error"}),
    # a router that passes it on
    (200, {"code": 400, "message": "Provider returned error: Failed to call a function."}),
]


@pytest.mark.parametrize(("status", "error"), GARBLED)
async def test_an_answer_that_the_endpoint_could_not_read_is_one_that_was_no_call(serve, status, error):
    stub = serve(in_turn(Reply({"error": error}, status)))
    answer, client = await ask(endpoint_at(stub), form={"tools": []})
    assert (len(stub.asked), client.retried) == (1, 0)
    with pytest.raises(Unreadable, match="the endpoint could not read it: "):
        read(answer)


@pytest.mark.parametrize(
    "told", ["Failed to parse tool call arguments as JSON: unexpected end", "parse error"]
)
async def test_a_conversation_that_the_endpoint_could_not_read_is_no_answer(serve, told):
    with pytest.raises(Failed):
        await ask(endpoint_at(serve(in_turn(fails(500, told)))), RetryPolicy(5, 1))


async def test_a_key_that_came_in_pieces_does_not_come_back(serve):
    pieces = [{"content": KEY[:9]}, {"content": KEY[9:]}]
    answer, _ = await ask(endpoint_at(serve(in_turn(streamed(pieces)))))
    assert answer.text == "[key]"


async def test_a_field_that_an_endpoint_lacks_is_not_taken_from_it(serve):
    turn = [*ASK, {"role": "assistant", "content": "", "reasoning_content": "hm"}]
    stub = serve(in_turn(fails(400, "The reasoning_content must be passed back to the API.")))
    async with EndpointClient(endpoint_at(stub)) as client:
        with pytest.raises(Rejected):
            await client.ask(turn, {})
    assert len(stub.asked) == 1
