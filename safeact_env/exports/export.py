"""The export: rows into files, a card beside them, all or nothing.

Owns the order of steps and what is refused. Must not know the contents of a row.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from safeact_env.core.task import Split
from safeact_env.exports.card import CANARY, Part, card
from safeact_env.exports.files import NO_PARQUET, RowFile, has_parquet
from safeact_env.exports.pairs import pairs_of
from safeact_env.exports.rows import ABOUT, COLUMNS, pair_row, rated_rows, sft_row
from safeact_env.exports.sources import Rollout

__all__ = ["FORMS", "Counts", "Export", "ExportError", "export"]

FORMS = tuple(COLUMNS)
"""The forms, in the order of the card."""
CARD = "README.md"
TEST_REFUSED = (
    "Seeds of the split test are there to measure with: a model that was trained on them measures nothing. "
    "Export train, or insist with --force-test."
)
PAIRS_REFUSED = (
    "Pairs hold calls that replays found, and nobody predicted anything of them. Export predictions with "
    "--form sft alone."
)
NO_PREDICTIONS = (
    "{by} on {task}, seed {seed}, has no predictions: reference policies give none, and a model is asked for "
    "them with --predict of inference.py. Leave out --predict, or export other episodes."
)


class ExportError(ValueError):
    """Something that cannot be exported. The message says what to do; nothing was written."""


@dataclass(frozen=True)
class Export:
    """Options of an export.

    Attributes:
        forms: Any of `sft`, `dpo` and `kto`.
        prompt: Prompt of the system message: `neutral` or `hinted`.
        pairs: Most pairs per episode, at least 1.
        least: Lowest grade of an episode for `sft`, in [0, 1].
        parquet: Whether to write Parquet as well.
        test: Whether episodes of the split test may be exported.
        predict: Whether the calls of chats hold their predictions.
    """

    forms: tuple[str, ...] = FORMS
    prompt: str = "neutral"
    pairs: int = 4
    least: float = 1.0
    parquet: bool = False
    test: bool = False
    predict: bool = False

    def check(self, split: Split) -> None:
        """Raise `ExportError` if an episode of this split must not be exported, or the options do not fit."""
        if split == "test" and not self.test:
            raise ExportError(TEST_REFUSED)
        if self.predict and self.forms != ("sft",):
            raise ExportError(PAIRS_REFUSED)


@dataclass
class Counts:
    """What was written.

    Attributes:
        episodes: Episodes read or played.
        rows: Rows written, by form.
        left_out: Episodes without a chat: graded too low, or with a call of an action that does not exist.
    """

    episodes: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    left_out: int = 0


def export(
    source: Iterable[Rollout],
    folder: Path,
    wanted: Export,
    *,
    made: str,
    progress: Callable[[int], None] = lambda _played: None,
) -> Counts:
    """Write episodes as training data.

    Args:
        source: The episodes.
        folder: Created if missing. Files of an earlier export are replaced; it may hold no other files.
        wanted: What to write.
        made: Where the episodes come from, for the card.
        progress: Called with the number of episodes so far.

    Raises:
        ExportError: If something is refused, or there is nothing to write. The folder stays as it was.
        SourceError: If the source cannot be used. The folder stays as it was.
    """
    if wanted.parquet and not has_parquet():
        raise ExportError(NO_PARQUET)
    _check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            counts = _written(source, Path(beside), wanted, made, progress)
            _moved(Path(beside), folder)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror or error}.") from None
    return counts


def _written(
    source: Iterable[Rollout], folder: Path, wanted: Export, made: str, progress: Callable[[int], None]
) -> Counts:
    counts = Counts()
    with ExitStack() as stack:
        files = {
            form: stack.enter_context(RowFile(folder, form, parquet=wanted.parquet)) for form in wanted.forms
        }
        for one in source:
            wanted.check(one.episode.split)
            if wanted.predict and one.predictions is None:
                place = {"task": one.episode.task.name, "seed": one.episode.seed}
                raise ExportError(NO_PREDICTIONS.format(by=one.by or "An episode", **place))
            counts.left_out += _add(one, files, wanted)
            counts.episodes += 1
            progress(counts.episodes)
    counts.rows = {form: file.rows for form, file in files.items()}
    if empty := [form for form, rows in counts.rows.items() if not rows]:
        raise ExportError(f"{_nothing(counts, wanted)} Nothing was written of {', '.join(empty)}.")
    kind = "parquet" if wanted.parquet else "jsonl"
    parts = [
        Part(form, name, rows, _sha256(folder / name), {column: ABOUT[column] for column in COLUMNS[form]})
        for form, rows in counts.rows.items()
        for name in [f"{form}.{kind}"]
    ]
    text = card(parts, _how(counts, wanted, made))
    (folder / CARD).write_text(text, encoding="utf-8")
    return counts


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _add(one: Rollout, files: dict[str, RowFile], wanted: Export) -> bool:
    """Write the rows of an episode; return whether it was left out as a chat."""
    left_out = False
    if "sft" in files:
        known = all(turn.risk != "unknown" for turn in one.episode.turns)
        left_out = not known or one.episode.grade().score < wanted.least
        if not left_out:
            files["sft"].append(sft_row(one, wanted.prompt, predict=wanted.predict))
    if "dpo" in files or "kto" in files:
        for pair in pairs_of(one.episode, wanted.pairs):
            row = pair_row(one, pair, wanted.prompt)
            if "dpo" in files:
                files["dpo"].append(row)
            if "kto" in files:
                for rated in rated_rows(row):
                    files["kto"].append(rated)
    return left_out


def _nothing(counts: Counts, wanted: Export) -> str:
    if not counts.episodes:
        return "There are no episodes."
    if counts.left_out == counts.episodes:
        return f"No episode is graded {wanted.least:g} or more; lower --min-score, or export better ones."
    return "No step of these episodes makes a pair."


def _how(counts: Counts, wanted: Export, made: str) -> dict[str, str]:
    found = {"episodes": f"{counts.episodes}, {made}", "prompt": f"`{wanted.prompt}`"}
    if "sft" in wanted.forms:
        found["chats"] = f"of episodes graded {wanted.least:g} or more; {counts.left_out} were left out"
    if wanted.forms != ("sft",):
        found["pairs"] = f"at most {wanted.pairs} per episode"
    if wanted.predict:
        found["predictions"] = "`undo_chance` among the arguments of each call, where one was given"
    if wanted.test:
        found["split"] = "episodes of the split `test` were allowed: what is trained on them measures nothing"
    return found


def _check_folder(folder: Path) -> None:
    """Refuse a folder with anything but an earlier export."""
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"{folder} is a file; name a folder.")
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        ours = CANARY in (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise ExportError(f"{folder} holds something else than an export; name a new folder.")


def _moved(written: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    names = {path.name for path in written.iterdir()}
    for old in (f"{form}.{kind}" for form in FORMS for kind in ("jsonl", "parquet")):
        if old not in names:
            (folder / old).unlink(missing_ok=True)
    for path in written.iterdir():
        path.replace(folder / path.name)
