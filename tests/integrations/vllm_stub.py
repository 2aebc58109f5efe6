"""A stand-in for vLLM and its GPU, as far as TRL's AsyncGRPOTrainer needs them."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import torch


class Weights:
    """Takes a trainer's weights, and counts how often."""

    def __init__(self) -> None:
        self.sent = 0

    def init_weight_transfer(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def destroy(self) -> None: ...

    def send_weights(self, named: Any) -> None:
        assert list(named)
        self.sent += 1


@contextmanager
def vllm(answers: Sequence[Sequence[int]]) -> Iterator[tuple[str, list[list[int]]]]:
    """An address at which these answers, as tokens, are drawn by the seed of a request; and the prompts."""
    prompts: list[list[int]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompts.append(asked["prompt"])
            said = list(answers[asked["seed"] % len(answers)])
            logprobs = {"token_logprobs": [-1.0] * len(said)}
            self._answer({"choices": [{"token_ids": said, "logprobs": logprobs}]})

        def _answer(self, told: dict[str, Any]) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", prompts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _attention(
    q: Any, k: Any, v: Any, of_q: Any, of_k: Any, *_longest: int, softmax_scale: float, **_more: Any
) -> Any:
    """FlashAttention's varlen function: each segment of queries (n, heads, width) sees its keys causally."""
    parts = []
    for a, b, c, d in zip(of_q[:-1], of_q[1:], of_k[:-1], of_k[1:], strict=True):
        keys, values = (x[c:d].repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        seen = torch.ones(b - a, d - c, dtype=torch.bool).tril(int((d - c) - (b - a)))
        heads = [x.transpose(0, 1) for x in (q[a:b], keys, values)]
        out = torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=seen, scale=softmax_scale)
        parts.append(out.transpose(0, 1))
    return torch.cat(parts)


FLASH_ATTENTION = SimpleNamespace(flash_attn_varlen_func=_attention)
"""In the place of the kernel that TRL fetches from the hub for a GPU."""
