"""Makes a tiny language model with a chat template for tools, without a hub, files or a GPU.

Its weights are random, and its tokenizer is trained on this project's texts. Some calls are single tokens, so
that the model makes calls when generation is limited to them. It checks that a training runs, and shows
nothing about learning.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from safeact_env.call import Call
from safeact_env.core.task import Task
from safeact_env.integrations.toolset import toolset_of
from safeact_env.llm.prompts import get_prompt
from safeact_env.tasks import OFFICIAL, get_task
from scripts.training.lm_chats import byte_level_bpe

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 2_000
MOST_TOKENS = 8_192


class TinyModel(NamedTuple):
    """A model and its tokenizer.

    Attributes:
        model: A causal language model with random weights.
        words: Its tokenizer, with Qwen's chat template.
        generation: Options that limit generation to these calls and the end of the turn.
    """

    model: Any
    words: Any
    generation: dict[str, Any]


def tiny_model(calls: Sequence[str], seed: int = 0) -> TinyModel:
    """A model whose vocabulary has each of these calls as a token."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = _tokenizer(calls)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=MOST_TOKENS,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    kept = {words.eos_token_id, *(words.convert_tokens_to_ids(call) for call in calls)}
    others = [number for number in range(len(words)) if number not in kept]
    return TinyModel(LlamaForCausalLM(config), words, {"suppress_tokens": others})


def call_text(task: Task[Any], call: Call) -> str:
    """A call in the form of the chat template."""
    name, arguments = toolset_of(task).use(call)
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


def simple_calls(tasks: Iterable[str]) -> list[str]:
    """Calls of these tasks that need no knowledge of the scenario."""
    found: dict[str, None] = {}
    for name in tasks:
        task = get_task(name)
        calls = [
            Call(action, {}, "Look.") for action, schema in task.schemas.items() if not schema["properties"]
        ]
        calls += [
            Call("read_runbook", {"action_name": "finish"}, "Look."),
            Call("finish", {"summary": "Done."}, "Done."),
            Call("no_such_action", {}, "Try."),
        ]
        found |= {call_text(task, call): None for call in calls}
    return list(found)


def _texts() -> Iterable[str]:
    """The texts to train the tokenizer on."""
    for name in OFFICIAL:
        task = get_task(name)
        yield json.dumps(toolset_of(task).schemas())
        yield task.start("train", 0).description
    yield get_prompt("neutral").opening("tools")


def _tokenizer(calls: Sequence[str]) -> Any:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast
    from trl.chat_template_utils import qwen2_5_chat_template

    inner = byte_level_bpe(_texts(), VOCABULARY, SPECIAL)
    inner.add_tokens([AddedToken(call, normalized=False) for call in calls])
    end, _, turn = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=turn, pad_token=end, chat_template=qwen2_5_chat_template
    )
