"""What the audits that train learners share. Importing it imports scikit-learn.

Must not know what an audit learns.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import sklearn.ensemble  # loads the library that makes the threads: it is limited once it is there
from threadpoolctl import threadpool_limits

__all__ = ["single_threaded"]

assert sklearn.ensemble


def single_threaded() -> AbstractContextManager[Any]:
    """Let learners use one thread: audits run side by side, and threads that wait for a core cost much."""
    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits
