"""A run of `scripts/train_lm.py`: its stages, checkpoints, log and measurements.

Owns the order of the stages and the files of a run. Must not know how a model learns or generates.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from itertools import pairwise, product
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import torch
from tokenizers import Tokenizer

from safeact_env.core.episode import Episode
from safeact_env.core.task import Split
from safeact_env.core.variant import FRAMINGS, Variant
from safeact_env.tasks import get_task
from safeact_env.version import VERSION
from scripts.training.lm_chats import LEVELS, PER_RUN, UNSEEN, Source, encoded, tokenizer
from scripts.training.lm_learn import copy, follow, new_model, optimizer_of, rate_at, reinforce, repeats
from scripts.training.lm_play import Limits, play, recorded

AT_ONCE = 20
"""Episodes played at once."""
STAGES = ("copies", "chats", "reward")
COPIED = (24, 96)
"""Random sequences per update, and their length."""
COURSE = ("copies", "steps", "drills", "reward_steps")
"""Options that may be others when a run goes on: the log then says so."""
FREE = (*COURSE, "out", "log_every")
"""Options that are no settings of a run."""
READ_FOR_WORDS = 300
"""Chats that the tokenizer is trained on."""


class CannotGoOn(Exception):
    """The folder holds something that this run cannot go on from; the message says what to do."""


class Training:
    """A run: its model, and where it stands.

    Args:
        options: Those of `scripts/train_lm.py`.
        variants: What is trained on.
        seeds: The scenarios of each cell that is measured.

    Raises:
        CannotGoOn: If the folder holds another run, or one that cannot be read or gone on with.
    """

    def __init__(
        self, options: argparse.Namespace, variants: tuple[Variant, ...], seeds: tuple[int, ...]
    ) -> None:
        # A small network: several threads would mostly wait for each other.
        torch.set_num_threads(1)
        self.options, self.seeds, self.out = options, seeds, options.out
        self.tasks = tuple(dict.fromkeys(options.task))
        self.source = Source(self.tasks, variants, options.drills, options.reasons, options.renamed)
        self.settings = {name: value for name, value in vars(options).items() if name not in FREE}
        self.course = {name: getattr(options, name) for name in COURSE}
        self.done = dict.fromkeys(STAGES, 0)
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = self.out / "log.jsonl"
        saved = self._saved()
        self.words = self._tokenizer(fresh=saved is None)
        width = options.width
        self.model = new_model(self.words.get_vocab_size(), width, options.layers, width // 32, options.seed)
        self.optimizers = {stage: optimizer_of(self.model) for stage in STAGES}
        if saved is None:
            parameters = sum(one.numel() for one in self.model.parameters())
            self._add(settings=self.settings, **self.course, parameters=parameters, versions=versions())
            self._save()
        else:
            self.model.load_state_dict(saved["model"])
            for stage, state in saved["optimizers"].items():
                self.optimizers[stage].load_state_dict(state)
            self.done = saved["done"]
            self._refuse_longer()
            if saved["course"] != self.course:
                self._add(changed=self.course, after=self.done)

    def run(self) -> None:
        """Go through the stages that are left."""
        self._copy()
        self._follow()
        self._measure("chats")
        if self.options.reward_steps:
            self._reinforce()
            self._measure("reward")

    def _copy(self) -> None:
        """Learn to look back, on random tokens."""
        options, started, found = self.options, time.monotonic(), []
        for step in range(self.done["copies"], options.copies):
            draws = torch.Generator().manual_seed(options.seed * PER_RUN + step)
            ids, known = repeats(self.words.get_vocab_size(), *COPIED, draws)
            rate = rate_at(step, options.copies, options.learning_rate)
            found.append(copy(self.model, self.optimizers["copies"], ids, known, rate))
            self.done["copies"] = step + 1
            if self._is_due("copies", options.copies):
                took = round(time.monotonic() - started, 1)
                self._add(stage="copies", step=step + 1, loss=round(mean(found), 4), seconds=took)
                self._save()
                started, found = time.monotonic(), []

    def _follow(self) -> None:
        """Train on chats."""
        options, started, losses, tokens = self.options, time.monotonic(), [], 0
        for step in range(self.done["chats"], options.steps):
            first = options.seed * PER_RUN + step * options.batch
            chats = [
                encoded(self.words, self.source.messages(number))
                for number in range(first, first + options.batch)
            ]
            rate = rate_at(step, options.steps, options.learning_rate)
            losses.append(follow(self.model, self.optimizers["chats"], chats, rate, options.others))
            tokens += sum(len(one.ids) for one in chats)
            self.done["chats"] = step + 1
            if self._is_due("chats", options.steps):
                took = round(time.monotonic() - started, 1)
                loss = round(mean(losses), 4)
                self._add(stage="chats", step=step + 1, loss=loss, tokens=tokens, seconds=took)
                self._save()
                started, losses, tokens = time.monotonic(), [], 0

    def _reinforce(self) -> None:
        """Train from reward, on groups of rollouts of one scenario each."""
        options = self.options
        places = list(product(self.tasks, self.source.variants))
        for step in range(self.done["reward"], options.reward_steps):
            started = time.monotonic()
            task, variant = places[step % len(places)]
            # The last scenarios of the run, which the chats do not come to.
            seed = (options.seed + 1) * PER_RUN - 1 - step
            episodes = [_episode(task, "train", seed, variant) for _ in range(options.group)]
            draws = torch.Generator().manual_seed(seed)
            rows = play(self.model, self.words, episodes, Limits(temperature=1.0), draws)
            grades = [row.episode.grade() for row in rows]
            rewards = [one.total for one in grades]
            chats = [row.chat for row in rows]
            reinforce(self.model, self.optimizers["reward"], chats, rewards, options.reward_learning_rate)
            self.done["reward"] = step + 1
            self._add(
                stage="reward",
                step=step + 1,
                rewards=rewards,
                spread=round(pstdev(rewards), 4),
                grade=round(mean(one.score for one in grades), 4),
                mistakes=sum(one.outcome == "irreversible_mistake" for one in grades),
                gap=round(max(one.total - one.score for one in grades), 4),
                seconds=round(time.monotonic() - started, 1),
            )
            if self._is_due("reward", options.reward_steps):
                self._save()

    def _measure(self, stage: str) -> None:
        """Play every cell, and write the episodes in one piece, unless this network's are there."""
        path = self.out / f"{stage}.jsonl"
        after = {one: self.done[one] for one in STAGES[: STAGES.index(stage) + 1]}
        if path.exists() and self._measured().get(stage) == after:
            return
        if any(self.done[one] for one in STAGES if one not in after):
            raise CannotGoOn(
                f"{path} has no episodes after {after[stage]} updates on {stage}, and the network has been "
                "trained further since; start a run in another folder with --out."
            )
        started, lines = time.monotonic(), []
        for task, (split, variant) in product(self.tasks, cells(self.source.variants[0])):
            first = UNSEEN if split == "train" else 0
            for at in range(0, len(self.seeds), AT_ONCE):
                seeds = [first + seed for seed in self.seeds[at : at + AT_ONCE]]
                episodes = [_episode(task, split, seed, variant) for seed in seeds]
                rows = play(self.model, self.words, episodes, Limits(), torch.Generator())
                lines += [json.dumps(recorded(row, f"lm-{stage}-{self.options.seed}")) for row in rows]
        _replace(path, lines)
        seconds = round(time.monotonic() - started, 1)
        self._add(measured=stage, after=after, episodes=len(lines), seconds=seconds)

    def _measured(self) -> dict[str, dict[str, int]]:
        """The updates after which each stage was last measured."""
        lines = map(json.loads, self.log.read_text(encoding="utf-8").splitlines())
        return {line["measured"]: line.get("after", {}) for line in lines if "measured" in line}

    def _refuse_longer(self) -> None:
        """A stage cannot go on once the next one has begun: its updates would be made on another network."""
        wanted = {"copies": self.options.copies, "chats": self.options.steps}
        for stage, following in pairwise(STAGES):
            if self.done[following] and wanted[stage] > self.done[stage]:
                raise CannotGoOn(
                    f"{self.out} holds a run whose stage {following} has begun, so {stage} cannot; name "
                    "another folder with --out."
                )

    def _is_due(self, stage: str, last: int) -> bool:
        """Whether a checkpoint is due."""
        return self.done[stage] % self.options.log_every == 0 or self.done[stage] == last

    def _add(self, **line: Any) -> None:
        """Add a line to the log, and show it."""
        text = json.dumps(line)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        print(text, flush=True)

    def _saved(self) -> dict[str, Any] | None:
        """The checkpoint of this run, if there is one; lines of the log behind it are taken back."""
        path = self.out / "model.pt"
        if not path.exists():
            held = [name for name in ("log", *STAGES) if (self.out / f"{name}.jsonl").exists()]
            if held:
                raise CannotGoOn(
                    f"{self.out} holds {held[0]}.jsonl of a run, and no model.pt to go on from; name another "
                    "folder with --out."
                )
            return None
        try:
            saved: dict[str, Any] = torch.load(path, weights_only=True)
            settings, done = saved["settings"], {stage: int(saved["done"][stage]) for stage in STAGES}
            kept = _lines_until(done, self.log.read_text(encoding="utf-8"))
            Tokenizer.from_file(str(self.out / "tokenizer.json"))
        except Exception as error:  # torch and tokenizers raise anything
            why = str(error).partition("\n")[0]
            raise CannotGoOn(
                f"{self.out} holds no run that can be read ({why}); name another folder with --out."
            ) from None
        if settings != json.dumps(self.settings):
            raise CannotGoOn(f"{self.out} holds a run with other options; name another folder with --out.")
        _replace(self.log, kept)
        return saved

    def _save(self) -> None:
        """Write the checkpoint in one piece."""
        half = self.out / "model.part"
        state = {
            "settings": json.dumps(self.settings),
            "course": self.course,
            "model": self.model.state_dict(),
            "optimizers": {stage: one.state_dict() for stage, one in self.optimizers.items()},
            "done": self.done,
        }
        torch.save(state, half)
        half.replace(self.out / "model.pt")

    def _tokenizer(self, *, fresh: bool) -> Any:
        path = self.out / "tokenizer.json"
        if fresh:
            tokenizer(self.source, self.options.vocabulary, READ_FOR_WORDS).save(str(path))
        return Tokenizer.from_file(str(path))


def _lines_until(done: dict[str, int], log: str) -> list[str]:
    """The lines of a log up to a checkpoint. A last line that was not written to its end is left out."""
    *lines, rest = log.split("\n")
    if rest:
        with suppress(ValueError):
            json.loads(rest)
            lines.append(rest)
    return [line for line in lines if _is_before(json.loads(line), done)]


def _is_before(line: dict[str, Any], done: dict[str, int]) -> bool:
    """Whether a line of the log is of a step that a checkpoint holds."""
    return "stage" not in line or line["step"] <= done[line["stage"]]


def _replace(path: Path, lines: Iterable[str]) -> None:
    """Write a file of lines in one piece."""
    half = path.with_suffix(".part")
    half.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    half.replace(path)


def cells(trained: Variant) -> list[tuple[Split, Variant]]:
    """What is measured: what was trained, in known words, and on `test` each level and each framing."""
    levels = [Variant(level, trained.framing) for level in LEVELS]
    framings = [Variant(trained.level, framing) for framing in FRAMINGS]
    return [("train", trained), *(("test", one) for one in dict.fromkeys([trained, *levels, *framings]))]


def _episode(task: str, split: Split, seed: int, variant: Variant) -> Episode[Any]:
    return Episode(get_task(task), split, seed, variant=variant)


def versions() -> dict[str, str]:
    """The versions that a result may depend on."""
    libraries = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    return {"safeact-env": VERSION, "python": platform.python_version(), **libraries}
