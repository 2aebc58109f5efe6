"""Trains a language model on SafeAct-Env with TRL's GRPO, optionally after a warm start on exported chats.

    pip install trl==1.16.0 torch transformers datasets
    python scripts/train_grpo.py --model tiny --task easy --steps 2 --cpu          # checks the setup
    python scripts/train_grpo.py --model Qwen/Qwen3-0.6B --task easy --task medium --steps 200 --out runs/grpo

`--model` is a folder, a name on the Hugging Face hub, `local` for the model of inference.py (needs the
package gguf), or `tiny` for a random model without files. The trained model goes to OUT/model, the log of
each step to OUT/training.json. With `--evaluate` the model plays scenarios of the split `test` before and
after; the metrics are in OUT/training.json, the episodes with the model's answers in OUT/before and
OUT/after.

Exit code 0: trained. 2: the arguments or the installed packages do not allow it; a message says why.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

from safeact_env.core.variant import DEFAULT, FRAMINGS, LEVELS, Variant
from safeact_env.evaluation import parse_seeds
from safeact_env.evaluation.store import StoreError, replace_file
from safeact_env.evaluation.suite import V2
from safeact_env.integrations.shaping import Shaping
from safeact_env.integrations.text import token_headers
from safeact_env.integrations.trl import environment, environments, rows
from safeact_env.llm.errors import Unusable
from safeact_env.llm.local import fetch, find
from safeact_env.llm.local_models import LOCAL_MODELS
from safeact_env.llm.prompts import PROMPTS
from safeact_env.llm.run import EPISODES
from safeact_env.tasks import get_task, task_names
from safeact_env.version import VERSION

NEEDED = ("trl", "torch", "transformers", "datasets")
CHATML = "<|im_start|>"


class Refused(Exception):
    """The run is not possible; the message says what to do."""


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, help="a folder, a name on the hub, `local` or `tiny`")
    add("--task", action="append", choices=task_names(), help="repeat for several (default: easy)")
    add("--split", choices=("train", "test"), default="train")
    add("--seeds", default="0-999", help="of the scenarios, such as 0-999")
    add("--level", action="append", type=int, choices=LEVELS, help="repeat for several (default: 3)")
    add("--framing", choices=FRAMINGS, default=DEFAULT.framing)
    add("--prompt", choices=PROMPTS, default=PROMPTS[0])
    add(
        "--url",
        help="play on the server at this address, with SAFEACT_API_TOKEN if set (default: in this process)",
    )
    add("--steps", type=int, default=100, help="of training")
    add("--generations", type=int, default=8, help="rollouts per scenario")
    add("--scenarios", type=int, default=1, help="scenarios per step")
    add("--completion-tokens", type=int, default=4_096, help="longest rollout, results included")
    add("--learning-rate", type=float, default=1e-6)
    add("--sft", type=Path, help="first train on the chats of this file, an sft.jsonl of `safeact export`")
    add("--sft-steps", type=int, default=100)
    add("--sft-learning-rate", type=float, default=2e-5)
    add("--sft-tokens", type=int, default=8_192, help="longest chat; what is longer is cut")
    add("--out", type=Path, default=Path("runs/grpo"))
    add("--mistake-reward", type=float, default=-1.0, help="what a mistake pays in the training, -1 to 0")
    add("--idle-reward", type=float, default=0.0, help="what doing nothing pays in the training, -1 to 0")
    add("--seed", type=int, default=0, help="of the training's own draws")
    add("--cpu", action="store_true", help="use no GPU")
    add("--evaluate", metavar="SEEDS", help="play these scenarios of the split test before and after")
    add("--suite", action="store_true", help="on every level and framing of the suite (default: rules, 3)")
    add("--attempts", type=int, default=1, help="episodes on each of them")
    add("--temperature", type=float, default=0.7, help="of the sampling in them; 0 for none")
    add("--answer-tokens", type=int, default=128, help="longest answer in them")
    add("--window", type=int, default=8_192, help="longest conversation in them, answer included")
    add(
        "--force-test",
        action="store_true",
        help="train on the split test although it is there to measure with",
    )
    return parser.parse_args(arguments)


def checked(options: argparse.Namespace) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check the arguments before anything is loaded; the seeds to train and to evaluate with."""
    if options.split == "test" and not options.force_test:
        raise Refused(
            "The split test is there to measure with: a model that was trained on it measures nothing. "
            "Train on train, or insist with --force-test."
        )
    if options.sft is not None and not options.sft.is_file():
        raise Refused(f"There is no file {options.sft}; `safeact export FOLDER` writes FOLDER/sft.jsonl.")
    for name, least in (
        ("steps", 1),
        ("generations", 2),
        ("scenarios", 1),
        ("completion_tokens", 1),
        ("sft_steps", 1),
        ("sft_tokens", 1),
        ("attempts", 1),
        ("answer_tokens", 1),
        ("window", 1),
    ):
        if getattr(options, name) < least:
            raise Refused(f"--{name.replace('_', '-')} must be at least {least}.")
    for name in ("learning_rate", "sft_learning_rate"):
        if not 0 < getattr(options, name) < inf:
            raise Refused(f"--{name.replace('_', '-')} must be finite and above 0.")
    if options.suite and options.evaluate is None:
        raise Refused("--suite says where --evaluate measures; name scenarios, such as --evaluate 0-19.")
    for when in ("before", "after") if options.evaluate is not None else ():
        kept = options.out / when / EPISODES
        if kept.exists() and kept.stat().st_size:
            raise Refused(f"{kept} holds episodes of another run; name another folder with --out.")
    for task, level in product(options.task or ["easy"], options.level or [DEFAULT.level]):
        try:
            get_task(task).level(Variant(level, options.framing))
        except ValueError as error:
            raise Refused(f"{error}.") from None
    try:
        Shaping(options.mistake_reward, options.idle_reward)
    except ValueError as error:
        raise Refused(f"--mistake-reward, --idle-reward: {error}.") from None
    seeds = numbers("--seeds", options.seeds)
    measured = () if options.evaluate is None else numbers("--evaluate", options.evaluate)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise Refused(f"{', '.join(missing)} not installed: pip install trl torch transformers datasets")
    return seeds, measured


def numbers(option: str, given: str) -> tuple[int, ...]:
    """The seeds of an option."""
    try:
        return parse_seeds(given)
    except ValueError as error:
        raise Refused(f"{option}: {error}.") from None


# The model --------------------------------------------------------------------------------------------------


def loaded(name: str, tasks: Sequence[str], seed: int) -> tuple[Any, Any, dict[str, Any]]:
    """The model, its tokenizer, and options of generation."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if name == "tiny":
        from scripts.training.tiny_model import simple_calls, tiny_model

        return tiny_model(simple_calls(tasks), seed)
    if name == "local":
        model, words = from_gguf()
        return model, with_tools(words), {}
    try:
        words = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name)
    except OSError as error:
        raise Refused(f"The model {name} cannot be loaded: {error}") from None
    return model, with_tools(words), {}


def from_gguf() -> tuple[Any, Any]:
    """The model of inference.py and its tokenizer, with weights that can be trained."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if find_spec("gguf") is None:
        raise Refused("The local model is a GGUF file, which transformers reads with gguf: pip install gguf")
    (first, *_others) = LOCAL_MODELS.values()
    file = find(first) or fetch(first, print)
    words = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    # The weights are plain numbers by now, but trainers refuse a model that is marked as quantized.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(read.state_dict())
    return model, words


def with_tools(words: Any) -> Any:
    """The tokenizer with a chat template for tools: its own or, if that has none, Qwen's."""
    from trl.chat_template_utils import qwen2_5_chat_template, supports_tool_calling

    if supports_tool_calling(words):
        return words
    if CHATML not in words.get_vocab():
        raise Refused("The chat template of this model has no tools, and it is not of the form of ChatML.")
    words.chat_template = qwen2_5_chat_template
    return words


# The training -----------------------------------------------------------------------------------------------


def warm_start(model: Any, words: Any, options: argparse.Namespace, tasks: Sequence[str]) -> list[Any]:
    """Train on the assistant's messages in exported chats; the log."""
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    chats = load_dataset("json", data_files=str(options.sft), split="train")
    chats = chats.filter(lambda row: row["task"] in tasks)
    if not len(chats):
        raise Refused(f"{options.sft} has no chat of the tasks {', '.join(tasks)}.")
    config = SFTConfig(
        output_dir=str(options.out / "sft"),
        max_steps=options.sft_steps,
        per_device_train_batch_size=1,
        learning_rate=options.sft_learning_rate,
        max_length=options.sft_tokens,
        assistant_only_loss=True,
        **common(options),
    )
    template = words.chat_template
    trainer = SFTTrainer(
        model=model,
        args=config,
        processing_class=words,
        train_dataset=chats.select_columns(["messages", "tools"]),
    )
    trainer.train()
    # The trainer may have replaced it.
    words.chat_template = template
    logged: list[Any] = trainer.state.log_history
    return logged


def grpo(
    model: Any,
    words: Any,
    options: argparse.Namespace,
    tasks: Sequence[str],
    seeds: Sequence[int],
    generation: dict[str, Any],
) -> list[Any]:
    """Train by playing; the log."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    levels = options.level or [DEFAULT.level]
    config = GRPOConfig(
        output_dir=str(options.out / "grpo"),
        max_steps=options.steps,
        per_device_train_batch_size=options.generations,
        gradient_accumulation_steps=options.scenarios,
        num_generations=options.generations,
        max_completion_length=options.completion_tokens,
        max_tool_calling_iterations=max(
            get_task(task).levels[level].max_steps for task in tasks for level in levels
        ),
        learning_rate=options.learning_rate,
        generation_kwargs=generation or None,
        **common(options),
    )
    where: dict[str, Any] = {
        "base_url": options.url,
        "split": options.split,
        "headers": headers(),
        "shaping": Shaping(options.mistake_reward, options.idle_reward),
    }
    factory: Any = environment(tasks[0], **where) if len(tasks) == 1 else environments(tasks=tasks, **where)
    trainer = GRPOTrainer(
        model=model,
        args=config,
        processing_class=words,
        train_dataset=Dataset.from_list(
            rows(tasks, seeds, options.split, options.prompt, levels=levels, framings=[options.framing])
        ),
        environment_factory=factory,
    )
    trainer.train()
    logged: list[Any] = trainer.state.log_history
    return logged


def headers() -> dict[str, str]:
    """The headers for a server that needs a token."""
    return token_headers() or {}


def common(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of both trainings."""
    return {
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "seed": options.seed,
        "use_cpu": options.cpu,
        "bf16": not options.cpu,
    }


def evaluated(
    name: str, model: Any, words: Any, options: argparse.Namespace, tasks: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    """Measure a model on scenarios of the split `test`; its episodes go to the folder `name`."""
    from scripts.training.local_player import ModelHere, measure

    model.eval()
    here = ModelHere(
        f"{options.model} {name}", model, words, options.window, options.answer_tokens, options.temperature
    )
    variants = V2.variants if options.suite else (DEFAULT,)
    return measure(here, tasks, seeds, options.attempts, options.prompt, options.out / name, variants)


def train(options: argparse.Namespace, seeds: tuple[int, ...], measured: tuple[int, ...]) -> None:
    """Load, train, save, and measure before and after on demand."""
    tasks = list(dict.fromkeys(options.task or ["easy"]))
    model, words, generation = loaded(options.model, tasks, options.seed)
    logged: dict[str, Any] = {"sft": [], "grpo": []}
    template = words.chat_template
    if measured:
        logged["before"] = evaluated("before", model, words, options, tasks, measured)
    if options.sft is not None:
        logged["sft"] = warm_start(model, words, options, tasks)
    logged["grpo"] = grpo(model, words, options, tasks, seeds, generation)
    model.save_pretrained(options.out / "model")
    words.save_pretrained(options.out / "model")
    write_log(options, logged)  # a fault in what follows must not cost the training
    if measured:
        words.chat_template = template
        logged["after"] = evaluated("after", model, words, options, tasks, measured)
        write_log(options, logged)
    print(f"The model is in {options.out / 'model'}, the log in {options.out / 'training.json'}.")


def write_log(options: argparse.Namespace, logged: Mapping[str, Any]) -> None:
    """Write what is known so far."""
    settings = {
        name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()
    }
    text = json.dumps({"versions": versions(), "settings": settings, **logged}, indent=2)
    replace_file(options.out / "training.json", f"{text}\n".encode())


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    return {"safeact-env": VERSION, "python": platform.python_version(), **{n: version(n) for n in NEEDED}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; return the exit code."""
    options = parsed(arguments)
    # Makes `scripts` importable from any working folder.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    # TRL warns of every interface that may still change.
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        seeds, measured = checked(options)
        options.out.mkdir(parents=True, exist_ok=True)
        train(options, seeds, measured)
    except (Refused, Unusable, StoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
