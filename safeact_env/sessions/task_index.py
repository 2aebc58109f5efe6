"""The numbering of the Task API: an index into a split stands for a task and a seed.

Owns that mapping and the official sizes. Must not know episodes.
"""

from typing import Any

from safeact_env.tasks import OFFICIAL

__all__ = ["MAX_LISTED", "SIZES", "listed", "locate", "numbered", "size", "splits"]

SIZES: dict[str, int] = {"train": 50_000, "test": 1_000}
"""Official number of tasks per split. By task name, any other seed is valid too."""

MAX_LISTED = 1_000
"""Most entries that one listing returns."""


def splits() -> list[dict[str, Any]]:
    """The splits with their sizes."""
    return [{"name": split, "type": split, "num_tasks": number} for split, number in SIZES.items()]


def size(split: str) -> int:
    """Number of tasks of a split.

    Raises:
        IndexError: If there is no such split.
    """
    if split not in SIZES:
        raise IndexError(f"split must be one of {', '.join(SIZES)}")
    return SIZES[split]


def locate(split: str, index: int) -> tuple[str, int]:
    """The task and seed at an index.

    Raises:
        IndexError: If the index is not in the split.
    """
    if not 0 <= index < size(split):
        raise IndexError(f"index must be from 0 to {size(split) - 1} in split {split}")
    seed, task = divmod(index, len(OFFICIAL))
    return OFFICIAL[task], seed


def numbered(split: str, index: int) -> dict[str, Any]:
    """The entry at an index; raises `IndexError` if there is none."""
    task, seed = locate(split, index)
    return {"id": f"{split}-{index}", "index": index, "split": split, "task_name": task, "seed": seed}


def listed(split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
    """The entries of a slice, at most `MAX_LISTED`; raises `IndexError` if there is no such split."""
    return [numbered(split, index) for index in range(size(split))[start:stop][:MAX_LISTED]]
