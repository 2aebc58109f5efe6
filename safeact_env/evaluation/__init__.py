"""Evaluation: policies x tasks x seeds x splits, to records on disk and to metrics with intervals.

Owns how episodes are recorded, counted and put into tables. Must not know facts, nor any concrete task.
"""

from safeact_env.evaluation.metrics import METRICS, Group, Interval, summarise
from safeact_env.evaluation.record import Key, Sample, play_attempt, record_of
from safeact_env.evaluation.run import Selection, evaluate, parse_seeds
from safeact_env.evaluation.store import RecordFile, StoreError
from safeact_env.evaluation.table import legend, markdown, rich_tables, to_json

__all__ = [
    "METRICS",
    "Group",
    "Interval",
    "Key",
    "RecordFile",
    "Sample",
    "Selection",
    "StoreError",
    "evaluate",
    "legend",
    "markdown",
    "parse_seeds",
    "play_attempt",
    "record_of",
    "rich_tables",
    "summarise",
    "to_json",
]
