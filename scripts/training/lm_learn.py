"""A small language model, and the two ways in which it learns: from the expert's chats, and from reward.

Owns the network's form and the updates. Must not know files.
"""

from collections.abc import Sequence
from math import cos, pi
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from scripts.training.lm_chats import SPECIAL, Chat

MOST_TOKENS = 8_192
SHARP = 6.0
"""Makes the token before some e^4 times as likely to be looked at as its neighbours, for a head of 32."""


def new_model(vocabulary: int, width: int, layers: int, heads: int, seed: int) -> Any:
    """A Llama, random but for two heads; 1 to 10 million weights for a width of 128 to 320, 4 to 8 layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=MOST_TOKENS,
        attention_bias=True,
        # Slow turns, so that a head can find a name that stands two thousand tokens away.
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    _look_back(model.model)
    return model


def _look_back(decoder: Any) -> None:
    """Let one head of the first two layers each find what followed the present token when it stood before.

    The first tells each place what stands before it; the second looks for the place that was told the
    present token (induction heads: Olsson et al. 2022, https://arxiv.org/abs/2209.11895). From random weights
    neither is of use without the other, and a small budget ends before they are found.
    """
    first, second = (layer.self_attn for layer in decoder.layers[:2])
    turns, width = decoder.rotary_emb.inv_freq, decoder.config.hidden_size
    size = 2 * len(turns)
    told, kept = torch.nn.init.orthogonal_(torch.empty(2 * size, width)).split(size)
    with torch.no_grad():
        # Rotated by its place, this query equals the key of the place before.
        first.q_proj.bias[:size] = SHARP * torch.cat([turns.cos(), -turns.sin()])
        first.k_proj.bias[:size] = SHARP * torch.cat([torch.ones_like(turns), torch.zeros_like(turns)])
        # What it reads there is written to dimensions of its own, about as large as an embedding.
        first.v_proj.weight[:size] = told
        first.o_proj.weight[:, :size] = 2 * decoder.config.initializer_range * kept.T
        second.q_proj.weight[:size] = told
        second.k_proj.weight[:size] = kept


def optimizer_of(model: Any) -> torch.optim.AdamW:
    """The optimizer; the rate is set at each step."""
    return torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=0.01)


def rate_at(step: int, steps: int, peak: float) -> float:
    """The learning rate: up within a twentieth of the steps, then down to a tenth along a cosine."""
    up = max(steps // 20, 1)
    if step < up:
        return peak * (step + 1) / up
    return peak * (0.55 + 0.45 * cos(pi * (step - up) / max(steps - up, 1)))


def losses(model: Any, chat: Chat, places: Tensor) -> Tensor:
    """Minus the log-likelihood of the tokens at these places, each given all before it: shape (places,)."""
    ids = torch.tensor([chat.ids], device=model.device)
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state[0, places - 1]
    found: Tensor = cross_entropy(model.lm_head(hidden), ids[0, places], reduction="none")
    return found


def follow(
    model: Any, optimizer: torch.optim.Optimizer, chats: Sequence[Chat], rate: float, others: float = 0.0
) -> float:
    """One update towards chats; the mean loss per token of the assistant.

    Args:
        model: The model.
        optimizer: Its optimizer.
        chats: The chats.
        rate: The learning rate.
        others: Weight of the loss on the tokens that the assistant does not say.
    """
    count, total = sum(sum(chat.said) for chat in chats), 0.0
    optimizer.zero_grad(set_to_none=True)
    for chat in chats:
        said = torch.tensor(chat.said, device=model.device)
        weight = torch.where(said, 1.0, others)
        # Nothing comes before the first token.
        weight[0] = 0.0
        places = weight.nonzero().squeeze(1)
        found = losses(model, chat, places)
        ((found * weight[places]).sum() / count).backward()
        total += float(found.detach()[said[places]].sum()) / count
    _step(model, optimizer, rate)
    return total


def repeats(vocabulary: int, rows: int, length: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of random tokens that repeat themselves after 4 to `length` / 2, and which of them can be known.

    Returns:
        Tokens and truth values, both of shape (rows, length). The first token of a repetition is not known:
        what was random might go on.
    """
    period = torch.randint(4, length // 2 + 1, (rows, 1), generator=draws)
    drawn = torch.randint(len(SPECIAL), vocabulary, (rows, length), generator=draws)
    place = torch.arange(length)[None]
    return drawn.gather(1, place % period), place > period


def copy(model: Any, optimizer: torch.optim.Optimizer, ids: Tensor, known: Tensor, rate: float) -> float:
    """One update towards known tokens, such as those of `repeats`; the mean loss per token.

    Nothing but what came before tells them, so that the network finds out how to look back. On chats alone,
    in which few tokens have to be copied, it takes far longer.
    """
    ids, known = ids.to(model.device), known.to(model.device)
    optimizer.zero_grad(set_to_none=True)
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state[known[:, 1:]]
    loss = cross_entropy(model.lm_head(hidden), ids[known])
    loss.backward()
    _step(model, optimizer, rate)
    return float(loss.detach())


def reinforce(
    model: Any, optimizer: torch.optim.Optimizer, chats: Sequence[Chat], rewards: Sequence[float], rate: float
) -> None:
    """One update of REINFORCE on the rollouts of one scenario, with their mean reward as the baseline.

    Rollouts that were all paid alike teach nothing, and nothing is changed.
    """
    if len(set(rewards)) == 1:
        return
    mean, count = sum(rewards) / len(rewards), sum(sum(chat.said) for chat in chats)
    optimizer.zero_grad(set_to_none=True)
    for chat, reward in zip(chats, rewards, strict=True):
        places = torch.tensor(chat.said, device=model.device).nonzero().squeeze(1)
        ((reward - mean) * losses(model, chat, places).sum() / count).backward()
    _step(model, optimizer, rate)


def _step(model: Any, optimizer: torch.optim.Optimizer, rate: float) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
