"""A refusal: its sentence, in whichever body it comes, and what it means for the run."""

import json

import pytest

from safeact_env.llm.errors import ContextFull, Failed, Refused, Rejected, Unusable
from safeact_env.llm.refusals import Refusal, advice, names
from safeact_env.llm.settings import Endpoint

HERE = Endpoint("openai", "m", "http://endpoint.example/v1", "sk-0123456789")
SENTENCE = "Unsupported parameter: temperature"


def refusal(status, body, wait=None):
    return Refusal.of(status, body if isinstance(body, bytes) else json.dumps(body).encode(), wait)


def judged(status, body, request=(), *, answered=False, wait=None):
    return refusal(status, body, wait).judged(HERE, dict.fromkeys(request), answered=answered)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": SENTENCE, "type": "invalid_request_error", "param": None, "code": None}},
        [{"error": {"code": 400, "message": SENTENCE, "status": "INVALID_ARGUMENT"}}],  # Gemini
        {"error": SENTENCE},  # Ollama, LM Studio
        {"error": SENTENCE, "error_type": "validation"},  # text-generation-inference
        {"object": "error", "message": SENTENCE, "type": "BadRequestError", "code": 400},  # vLLM
        {"object": "error", "message": {"detail": [{"loc": ["body"], "msg": SENTENCE}]}},  # Mistral
        {"detail": SENTENCE},
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Not permitted"}]},
        {"detail": {"error": {"message": SENTENCE}}},
        {"message": SENTENCE},
        {"Message": SENTENCE},  # AWS
        {"errors": [{"code": 7, "message": SENTENCE}], "success": False},  # Cloudflare
        {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": SENTENCE},  # RFC 9457
        {"type": "error", "error": {"type": "invalid_request_error", "message": SENTENCE}},  # Anthropic
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": json.dumps({"error": SENTENCE})},
            }
        },
        {"error": {"message": json.dumps({"error": {"message": SENTENCE}})}},
        {"msg": SENTENCE, "code": "InvalidParameter"},
        {"reason": SENTENCE},
        {"fault": SENTENCE},
        json.dumps(SENTENCE).encode(),
        SENTENCE.encode(),
        f"<html><title>400</title><body><p>{SENTENCE}</p></body></html>".encode(),
        f"\ufeff{json.dumps({'error': SENTENCE})}".encode(),
    ],
)
def test_the_sentence_is_found_in_every_body(body):
    found = refusal(400, body)
    assert names(found.whole, "temperature")
    assert "{" not in found.whole or "fault" in found.whole
    with pytest.raises(Rejected) as caught:
        found.judged(HERE, {}, answered=False)
    assert names(caught.value.told, "temperature")


def test_a_part_that_is_named_beside_the_sentence_is_known():
    with pytest.raises(Rejected) as caught:
        judged(400, {"error": {"message": "Unsupported value", "param": "temperature"}})
    assert names(caught.value.told, "temperature")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"{" * 9_000, b"\xff\xfe"])
def test_a_body_that_says_nothing_is_no_fault(body):
    with pytest.raises(Rejected, match=r"does not take the request \(400\)"):
        judged(400, body)


def test_a_long_sentence_is_shown_short_and_read_whole():
    with pytest.raises(Rejected) as caught:
        judged(400, {"error": f"{'x ' * 900}temperature"})
    assert len(str(caught.value)) < 500
    assert names(caught.value.told, "temperature")


@pytest.mark.parametrize(
    ("told", "part", "named"),
    [
        ("'tool_choice' is bad", "tool_choice", True),
        ("only auto tool choice is possible", "tool_choice", True),
        ("body.tool_choice: no", "tool_choice", True),
        ("we cannot proceed", "seed", False),
        ("seed: no", "seed", True),
        ("temperatures", "temperature", False),
    ],
)
def test_a_part_is_named_as_a_word(told, part, named):
    assert names(told, part) is named


# What it means ----------------------------------------------------------------------------------------------

TOOLS = ("tools", "tool_choice")


@pytest.mark.parametrize("status", [400, 404, 405, 422, 501])
def test_a_form_that_is_refused_may_be_replaced(status):
    with pytest.raises(Rejected):
        judged(status, {"error": "No endpoints found that support tool use."}, TOOLS)


def test_the_name_is_wrong_only_where_plain_text_is_not_found():
    with pytest.raises(Unusable, match="does not know the model m"):
        judged(404, {"error": "not found"})


@pytest.mark.parametrize("told", ["tools param requires --jinja flag", "This grammar is too complex"])
def test_a_fault_that_names_the_form_is_a_refusal_of_it_until_it_was_answered(told):
    with pytest.raises(Rejected):
        judged(500, {"error": {"message": told}}, TOOLS)
    assert isinstance(judged(500, {"error": {"message": told}}, TOOLS, answered=True), Failed)
    assert isinstance(judged(500, {"error": {"message": told}}), Failed)
    assert isinstance(judged(500, {"error": {"message": "out of memory"}}, TOOLS), Failed)


BILLING = "You exceeded your current quota, please check your plan and billing details. Credits: 0."


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": BILLING, "type": "requests", "code": "rate_limit_exceeded"}},
        [{"error": {"code": 429, "message": BILLING, "status": "RESOURCE_EXHAUSTED"}}],
        {"error": {"message": BILLING, "code": None}},
        {"error": BILLING},
        {"detail": BILLING},
    ],
)
def test_a_limit_per_minute_is_waited_for_however_it_is_worded(body):
    assert isinstance(judged(429, body, wait="1"), Failed)
    assert not isinstance(judged(429, body), Refused)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, {"message": BILLING, "code": "insufficient_quota"}),
        (429, {"message": BILLING, "type": "insufficient_quota", "code": None}),
        (429, {"message": "no", "type": "exceeded_current_quota_error"}),  # Moonshot
        (400, {"message": "no", "code": "Arrearage"}),  # DashScope
        (402, {"message": "Insufficient Balance"}),  # DeepSeek
        (403, {"message": "no", "code": "billing_hard_limit_reached"}),
    ],
)
def test_a_code_that_says_the_account_is_empty_ends_the_run(status, error):
    with pytest.raises(Unusable, match="no more requests of this account"):
        judged(status, {"error": error})


def test_an_account_that_is_busy_is_waited_for():
    """https://openrouter.ai/docs/api/reference/errors-and-debugging: a 402 that says how long to wait."""
    assert isinstance(judged(402, {"error": {"message": "in flight"}}, wait="3"), Failed)


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("Please retry in 10.67s.", "10.67s"),
        ("Please try again in 350ms. Visit", "350ms"),
        ("Try again in 6m0s.", None),
        ("no word", None),
    ],
)
def test_how_long_to_wait_may_stand_in_the_sentence(told, wait):
    assert refusal(429, {"error": told}).wait == wait
    assert refusal(429, {"error": told}, "7").wait == "7"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        # Azure: https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter
        (400, {"message": "The response was filtered due to the prompt", "code": "content_filter"}),
        (400, {"message": "no", "code": None, "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
        (400, {"message": "triggering Azure OpenAI's content management policy"}),
        (403, {"message": "requires moderation", "metadata": {"reasons": ["violence"]}}),  # OpenRouter
        (400, {"message": "no", "code": "data_inspection_failed"}),  # DashScope
    ],
)
def test_what_a_filter_holds_back_concerns_its_conversation_only(status, error):
    with pytest.raises(Refused):
        judged(status, {"error": error}, TOOLS, answered=True)


@pytest.mark.parametrize(
    "told",
    [
        "max_tokens is too large: 4096. This model supports at most 1024 completion tokens",  # OpenAI
        "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for m",  # Anthropic
        "The parameter `max_completion_tokens`: integer above maximum value, expected a value <= 1024",
        "Range of max_tokens should be [1, 8192]",  # DashScope
        "maxOutputTokens must be less than 8193",
    ],
)
def test_an_answer_that_is_longer_than_the_model_gives_is_what_the_advice_is_about(told):
    with pytest.raises(Unusable, match=r"answers of 4096 tokens.*Give --answer-tokens a smaller number"):
        judged(400, {"error": {"message": told}}, TOOLS)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, "'max_tokens' is too large: 4096. This model's maximum context length is 2048 tokens"),  # vLLM
        (400, "The number of tokens to keep from the initial prompt is greater than the context length"),
        (400, "Trying to keep the first 9000 tokens when context the overflows."),  # LM Studio
        (400, "The input token count (9) exceeds the maximum number of tokens allowed (8)."),  # Gemini
        (422, "`inputs` tokens + `max_new_tokens` must be <= 4096"),  # text-generation-inference
        (413, "Request too large for model `m` on tokens per minute"),  # Groq
        (400, "Input is too long for requested model."),  # Bedrock
    ],
)
def test_a_request_that_is_too_long_is_told_from_all_else(status, told):
    with pytest.raises(ContextFull):
        judged(status, {"error": {"message": told}}, TOOLS)


@pytest.mark.parametrize(
    ("told", "what_to_do"),
    [
        ("Invalid model name passed in model=m", "Check MODEL_NAME"),
        ("The model `m` does not exist", "Check MODEL_NAME"),
        ("messages: at least 2 are required", "refuses plain text as well"),
    ],
)
def test_the_advice_follows_what_was_objected_to(told, what_to_do):
    assert what_to_do in advice(told)


# In a body that came with 200 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": SENTENCE, "code": 502}}, 502),
        ({"error": {"message": SENTENCE, "code": "429"}}, 429),
        ({"error": {"message": SENTENCE, "type": "invalid_request_error"}}, 400),
        ({"error": SENTENCE}, 502),
        ({"detail": SENTENCE}, 502),
        ([{"error": {"message": SENTENCE, "code": 503}}], 503),
        ({"choices": [], "error": {"message": SENTENCE, "code": 401}}, 401),
        ({"choices": [{"error": {"message": SENTENCE, "code": 502}, "message": {"content": "x"}}]}, 502),
        ({"choices": [{"message": {"content": "x"}}], "error": {"message": SENTENCE, "code": 500}}, 500),
    ],
)
def test_an_error_in_a_body_is_found_with_its_sentence(body, status):
    found = Refusal.within(body)
    assert (found.status, SENTENCE in found.whole) == (status, True)


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "x"}}]},
        {"choices": [{"message": {"content": "x"}, "error": None}], "error": None},
        {"choices": [{"message": {"content": "error"}}], "message": "x"},
        {"choices": []},
        [],
        None,
    ],
)
def test_what_is_no_error_is_none(body):
    assert Refusal.within(body) is None
