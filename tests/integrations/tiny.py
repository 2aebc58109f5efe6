"""A tiny language model with a chat template for tools, made of nothing: no hub, no files, no GPU.

Its tokenizer is trained on what this project shows to models. A call of a tool can be one token, so that a
model with random weights makes calls, too, when it is allowed little else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl.chat_template_utils import qwen2_5_chat_template

from safeact_env.integrations.toolset import toolset_of
from safeact_env.llm.prompts import get_prompt
from safeact_env.tasks import OFFICIAL, get_task

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 2_000
MOST_TOKENS = 8_192


def call_text(name: str, arguments: dict[str, Any]) -> str:
    """A call as the chat template writes it."""
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


def texts() -> Iterable[str]:
    """What the tokenizer is trained on."""
    for name in OFFICIAL:
        task = get_task(name)
        yield json.dumps(toolset_of(task).schemas())
        observation = task.start("train", 0)
        yield observation.description
    yield get_prompt("neutral").opening("tools")


def tokenizer(calls: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with Qwen's template, in which each of these calls is a token."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts(), trainer)
    inner.add_tokens([AddedToken(call, normalized=False) for call in calls])
    end, _, turn = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=turn, pad_token=end, chat_template=qwen2_5_chat_template
    )


def model(words: PreTrainedTokenizerFast, seed: int = 0) -> LlamaForCausalLM:
    """A model with random weights; its distribution over tokens is nearly flat."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=MOST_TOKENS,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return LlamaForCausalLM(config)


def nothing_but(words: PreTrainedTokenizerFast, calls: Sequence[str]) -> dict[str, Any]:
    """Options of generation that leave these calls, and the end of the turn."""
    kept = {words.eos_token_id, *(words.convert_tokens_to_ids(call) for call in calls)}
    return {"suppress_tokens": [number for number in range(len(words)) if number not in kept]}
