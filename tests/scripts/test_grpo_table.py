"""The table of a trained language model, from a record made here."""

import gzip
import json
from pathlib import Path
from typing import Any

from safeact_env.version import VERSION
from tools.documents.grpo_table import NONE_YET, grpo_table


def measured(grade: float) -> dict[str, Any]:
    names = {"grade": grade, "return": grade - 1, "pass^2": grade / 2}
    found = {name: {"value": value, "low": 0.0, "high": 1.0} for name, value in names.items()}
    return {"episodes": 2, "errors": [], "metrics": {"all": found, "easy": found}}


def write(folder: Path, *, sft: list[float]) -> None:
    budgets = {"sft_tokens": 3072, "generations": 4, "completion_tokens": 512}
    run = {
        "versions": {"safeact-env": VERSION},
        "settings": {"model": "local", "task": ["easy"], **budgets},
        "before": measured(0.0),
        "after": measured(0.25),
        "sft": [{"loss": loss} for loss in sft] + [{"train_runtime": 9.0}],
        "grpo": [{"reward": -0.5}, {"reward": 0.125}, {"train_runtime": 9.0}],
    }
    (folder / "training.json").write_text(json.dumps(run))
    for when, names in (("before", ["unparsable_answer", "list_files"]), ("after", ["list_files"] * 2)):
        lines = [json.dumps({"calls": [{"action_name": name}]}) for name in names]
        (folder / f"{when}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def test_without_a_record_it_says_so(tmp_path: Path) -> None:
    assert grpo_table(tmp_path) == NONE_YET


def test_before_and_after_stand_beside_each_other(tmp_path: Path) -> None:
    write(tmp_path, sft=[2.5, 0.75])
    lines = grpo_table(tmp_path).splitlines()
    assert lines[0] == "| on `test` | before | after |"
    assert lines[2:6] == [
        "| answers that are calls | 1 of 2 | 2 of 2 |",
        "| `grade` | 0.000 | 0.250 |",
        "| `return` | -1.000 | -0.750 |",
        "| `pass^2` | 0.000 | 0.125 |",
    ]
    assert lines[-1] == (
        f"Version {VERSION}. Model `local` on `easy`: 2 episodes before and 2 after. Warm start: 2 chats of "
        "the expert, up to 3,072 tokens of each, loss from 2.50 to 0.75. GRPO: 2 x 4 rollouts of up to "
        "512 tokens, mean reward -0.50, 0.12."
    )


def test_a_warm_start_is_told_only_if_there_was_one(tmp_path: Path) -> None:
    write(tmp_path, sft=[])
    assert "Warm start" not in grpo_table(tmp_path)
