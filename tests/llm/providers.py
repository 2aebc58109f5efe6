"""Endpoints as providers document them: what they refuse, in which words, and the form of their answers.

Each one plays as the expert, whose calls it puts into its own form, and refuses what the real one refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.llm.stub import Asked, Reply, as_json

BAD = {"action_name": "delete_everything", "parameters": {}}
"""A call that is weighed in thoughts only."""
WEIGHED = f"I could answer {json.dumps(BAD)} but no."

Call = tuple[str, dict[str, Any], str]
"""Name, parameters, reason."""


@dataclass(frozen=True)
class Provider:
    """A provider.

    Attributes:
        name: For the test's name.
        source: Where its form is documented or reported.
        answer: Its answer that makes a call, to a request.
        refuse: Its refusal of a request, if it refuses it.
        call_format: The call format that the player ends up with.
        temperature: The temperature that is then in force.
    """

    name: str
    source: str
    answer: Callable[[Asked, Call], Reply]
    refuse: Callable[[Asked], Reply | None] = lambda _asked: None
    call_format: str = "tools"
    temperature: float | None = 0.0


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> Reply:
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
    return Reply({"id": "c", "object": "chat.completion", "choices": [choice], "usage": None, **more})


def function(call: Call, *, as_text: bool = True) -> dict[str, Any]:
    arguments = {"reasoning": call[2], **call[1]}
    return {"name": call[0], "arguments": json.dumps(arguments) if as_text else arguments}


def tool(call: Call, *, as_text: bool = True, **more: Any) -> dict[str, Any]:
    return {"id": f"call-{call[0]}", "type": "function", "function": function(call, as_text=as_text), **more}


def error(status: int, message: str, **more: Any) -> Reply:
    return Reply({"error": {"message": message, **more}}, status)


def own_messages(asked: Asked) -> list[dict[str, Any]]:
    return [message for message in asked.body["messages"] if message["role"] == "assistant"]


# OpenAI and Azure -------------------------------------------------------------------------------------------


def openai_refuses(asked: Asked) -> Reply | None:
    kind = {"type": "invalid_request_error", "code": "unsupported_parameter"}
    if "max_tokens" in asked.body:
        sentence = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return error(400, f"Unsupported parameter: {sentence}", param="max_tokens", **kind)
    if "temperature" in asked.body:
        sentence = "Unsupported value: 'temperature' does not support 0.0 with this model."
        return error(400, sentence, param="temperature", type=kind["type"], code="unsupported_value")
    if "parallel_tool_calls" in asked.body:
        # The part is named beside the sentence.
        return error(400, "Unsupported parameter.", param="parallel_tool_calls", **kind)
    return None


def openai(_asked: Asked, call: Call) -> Reply:
    return completion(
        {"content": None, "tool_calls": [tool(call)], "refusal": None, "annotations": []}, "tool_calls"
    )


def azure(_asked: Asked, call: Call) -> Reply:
    safe = {"hate": {"filtered": False, "severity": "safe"}}
    reply = completion({"content": None, "tool_calls": [tool(call)]}, "tool_calls")
    reply.body["choices"][0]["content_filter_results"] = safe
    reply.body["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": safe}]
    return reply


# Servers on one's own machine -------------------------------------------------------------------------------


def vllm_without_parser(asked: Asked) -> Reply | None:
    if "tools" in asked.body:
        sentence = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        return Reply({"object": "error", "message": sentence, "type": "BadRequestError", "code": 400}, 400)
    return None


def vllm_closing_mark(_asked: Asked, call: Call) -> Reply:
    return completion({"content": f"Let me see. {WEIGHED}\n</think>\n\n{as_json(call)}", "tool_calls": []})


def vllm(_asked: Asked, call: Call) -> Reply:
    return completion({"content": None, "reasoning": WEIGHED, "tool_calls": [tool(call)]}, "tool_calls")


def llama_without_jinja(asked: Asked) -> Reply | None:
    if "tools" in asked.body:
        return error(500, "tools param requires --jinja flag", code=500, type="server_error")
    return None


def llama_thinking(_asked: Asked, call: Call) -> Reply:
    return completion({"content": as_json(call), "reasoning_content": WEIGHED})


def llama_objects(_asked: Asked, call: Call) -> Reply:
    return completion({"content": "", "tool_calls": [tool(call, as_text=False)]}, "tool_calls")


def ollama_refuses(asked: Asked) -> Reply | None:
    if "tools" in asked.body:
        sentence = "registry.ollama.ai/library/gemma3:270m does not support tools"
        return error(400, sentence, type="api_error", param=None, code=None)
    return None


def ollama(_asked: Asked, call: Call) -> Reply:
    return completion({"content": f"<think>\n{WEIGHED}\n</think>\n{as_json(call)}"})


def lm_studio_refuses(asked: Asked) -> Reply | None:
    if "tool_choice" in asked.body and asked.body["tool_choice"] != "auto":
        told = "Invalid tool_choice type: 'string'. Supported string values: none, auto"
        return Reply({"error": told}, 400)
    return None


def lm_studio(_asked: Asked, call: Call) -> Reply:
    return completion({"content": f"[THINK]{WEIGHED}[/THINK]", "tool_calls": [tool(call)]}, "tool_calls")


# Others -----------------------------------------------------------------------------------------------------


def mistral_refuses(asked: Asked) -> Reply | None:
    for number, message in enumerate(asked.body["messages"]):
        if "reasoning_content" in message:
            place = ["body", "messages", number, "assistant", "reasoning_content"]
            return Reply(
                {
                    "detail": [
                        {"type": "extra_forbidden", "loc": place, "msg": "Extra inputs are not permitted"}
                    ]
                },
                422,
            )
    return None


def mistral(asked: Asked, call: Call) -> Reply:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": WEIGHED}]}
    if "tools" in asked.body:
        return completion(
            {"content": [thinking], "reasoning_content": "x", "tool_calls": [tool(call)]}, "tool_calls"
        )
    return completion({"content": [thinking, {"type": "text", "text": as_json(call)}]})


def mistral_text(asked: Asked) -> Reply | None:
    if "tools" in asked.body or "response_format" in asked.body:
        return Reply({"object": "error", "message": {"detail": [{"msg": "Input should be 'text'"}]}}, 422)
    return None


def anthropic_refuses(asked: Asked) -> Reply | None:
    if "tool_choice" in asked.body:
        sentence = "Thinking may not be enabled when tool_choice forces tool use."
        return Reply({"type": "error", "error": {"type": "invalid_request_error", "message": sentence}}, 400)
    return None


def anthropic(_asked: Asked, call: Call) -> Reply:
    return completion({"content": "I look.", "tool_calls": [tool(call)]}, "tool_calls")


def gemini_refuses(asked: Asked) -> Reply | None:
    if "parallel_tool_calls" in asked.body:
        told = 'Invalid JSON payload received. Unknown name "parallel_tool_calls": Cannot find field.'
        return Reply([{"error": {"code": 400, "message": told, "status": "INVALID_ARGUMENT"}}], 400)
    for message in own_messages(asked):
        for call in message.get("tool_calls", []):
            if call.get("extra_content") != {"google": {"thought_signature": "c2ln"}}:
                told = "Function call is missing a thought_signature in functionCall parts."
                return Reply([{"error": {"code": 400, "message": told, "status": "INVALID_ARGUMENT"}}], 400)
    return None


def gemini(_asked: Asked, call: Call) -> Reply:
    signed = tool(call, extra_content={"google": {"thought_signature": "c2ln"}})
    return completion({"tool_calls": [signed]}, "tool_calls")


def openrouter_refuses(asked: Asked) -> Reply | None:
    if "tool_choice" in asked.body:
        return error(404, "No endpoints found that support the provided 'tool_choice' value.", code=404)
    if "temperature" in asked.body:
        inner = json.dumps({"error": {"message": "Unsupported parameter: 'temperature'", "code": None}})
        return error(400, "Provider returned error", code=400, metadata={"raw": inner, "provider_name": "P"})
    for message in own_messages(asked):
        if message.get("reasoning_details") != [{"type": "reasoning.encrypted", "data": "ZW5j", "index": 0}]:
            return error(400, "reasoning_details are missing", code=400)
    return None


def openrouter(_asked: Asked, call: Call) -> Reply:
    details = [{"type": "reasoning.encrypted", "data": "ZW5j", "index": 0}]
    message = {"content": "", "reasoning": WEIGHED, "reasoning_details": details, "tool_calls": [tool(call)]}
    body = json.dumps(completion(message, "tool_calls").body)
    return Reply(raw=f"\n   \n   {body}".encode())


def deepseek_refuses(asked: Asked) -> Reply | None:
    if any("reasoning_content" not in message for message in own_messages(asked)):
        return error(400, "Missing `reasoning_content` field in the assistant message at message index 2.")
    return None


def deepseek(asked: Asked, call: Call) -> Reply:
    # Where nothing was thought the field is empty, and it must come back all the same.
    thought = WEIGHED if len(asked.body["messages"]) < 5 else ""
    message = {"content": "", "reasoning_content": thought, "tool_calls": [tool(call)]}
    return completion(message, "tool_calls")


def dashscope_refuses(asked: Asked) -> Reply | None:
    if not asked.body.get("stream"):
        told = "parameter.enable_thinking must be set to false for non-streaming calls"
        return error(400, told, code="invalid_parameter_error", param=None, type="invalid_request_error")
    return None


def streamed(pieces: list[dict[str, Any]], *, finish: str = "tool_calls", done: bool = True) -> Reply:
    """A stream of events, with comments between them as proxies send them."""
    events = [{"choices": [{"index": 0, "delta": piece, "finish_reason": None}]} for piece in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish if done else None}]})
    events.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    lines = [": keep-alive\n", *(f"data: {json.dumps(event)}\n" for event in events)]
    text = "\n".join([*lines, "data: [DONE]\n"] if done else lines)
    return Reply(raw=text.encode(), headers={"Content-Type": "text/event-stream"})


def dashscope(_asked: Asked, call: Call) -> Reply:
    made = function(call)
    half = len(made["arguments"]) // 2
    first = {"index": 0, "id": "call-1", "type": "function"}
    return streamed(
        [
            {"role": "assistant", "content": None, "reasoning_content": WEIGHED[:20]},
            {"reasoning_content": WEIGHED[20:]},
            {"tool_calls": [{**first, "function": {**made, "arguments": made["arguments"][:half]}}]},
            {"tool_calls": [{"index": 0, "id": "", "function": {"arguments": made["arguments"][half:]}}]},
        ]
    )


def gpt_oss(_asked: Asked, call: Call) -> Reply:
    text = (
        f"<|channel|>analysis<|message|>{WEIGHED}<|end|><|start|>assistant<|channel|>final <|constrain|>json"
        f"<|message|>{as_json(call)}<|return|>"
    )
    return completion({"content": text})


PROVIDERS = (
    Provider(
        "openai",
        "https://platform.openai.com/docs/guides/reasoning",
        openai,
        openai_refuses,
        temperature=None,
    ),
    Provider("azure", "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter", azure),
    Provider("vllm", "https://docs.vllm.ai/en/stable/features/reasoning_outputs/", vllm),
    Provider(
        "vllm-closing-mark-only",
        "https://github.com/ItzCrazyKns/Vane/pull/1034 (DeepSeek-R1's template writes the opening mark)",
        vllm_closing_mark,
        vllm_without_parser,
        "json_schema",
    ),
    Provider(
        "llama.cpp-thinking",
        "https://github.com/ggml-org/llama.cpp/blob/master/docs/function-calling.md",
        llama_thinking,
        llama_without_jinja,
        "json_schema",
    ),
    Provider("llama.cpp-objects", "https://github.com/ggml-org/llama.cpp/issues/20198", llama_objects),
    Provider("ollama", "https://github.com/ollama/ollama/issues/5793", ollama, ollama_refuses, "json_schema"),
    Provider(
        "lm-studio",
        "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/670",
        lm_studio,
        lm_studio_refuses,
    ),
    Provider(
        "mistral", "https://docs.mistral.ai/studio-api/conversations/reasoning", mistral, mistral_refuses
    ),
    Provider(
        "mistral-text",
        "https://docs.mistral.ai/studio-api/conversations/reasoning",
        mistral,
        mistral_text,
        "text",
    ),
    Provider(
        "anthropic",
        "https://docs.anthropic.com/en/api/openai-sdk; .../build-with-claude/extended-thinking",
        anthropic,
        anthropic_refuses,
    ),
    Provider(
        "gemini",
        "https://ai.google.dev/gemini-api/docs/thought-signatures; https://github.com/openai/codex/issues/7519",
        gemini,
        gemini_refuses,
    ),
    Provider(
        "openrouter",
        "https://openrouter.ai/docs/api/reference/errors-and-debugging; https://github.com/zed-industries/zed/issues/36094",
        openrouter,
        openrouter_refuses,
        temperature=None,
    ),
    Provider("deepseek", "https://api-docs.deepseek.com/guides/thinking_mode", deepseek, deepseek_refuses),
    Provider(
        "dashscope",
        "https://github.com/browser-use/web-ui/issues/659 (Qwen with thinking: streams only)",
        dashscope,
        dashscope_refuses,
    ),
    Provider(
        "gpt-oss",
        "https://cookbook.openai.com/articles/openai-harmony",
        gpt_oss,
        ollama_refuses,
        "json_schema",
    ),
)
