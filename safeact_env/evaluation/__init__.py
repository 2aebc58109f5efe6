"""Evaluation: policies x tasks x seeds x splits, to records on disk and to metrics with intervals.

Owns how episodes are recorded, counted and put into tables. Must not know facts, nor any concrete task.
"""

from safeact_env.evaluation.comparisons import Comparison, compare
from safeact_env.evaluation.cost import Prices, ReportError
from safeact_env.evaluation.metrics import METRICS, Group, Interval, summarise
from safeact_env.evaluation.predictions import Predictions, headline, predictions_of
from safeact_env.evaluation.record import Key, Sample, play_attempt, record_of
from safeact_env.evaluation.report import Agent, Prompt, Report, read_report
from safeact_env.evaluation.run import Mapper, Selection, evaluate, parse_seeds
from safeact_env.evaluation.store import RecordFile, StoreError
from safeact_env.evaluation.suite import SUITES, Limits, Suite
from safeact_env.evaluation.suite_run import Player, SuiteFolder, holds_episodes, policy_player, run_suite
from safeact_env.evaluation.table import findings, knowing, legend, markdown, rich_tables, to_json
from safeact_env.evaluation.verify import Check, verify

__all__ = [
    "METRICS",
    "SUITES",
    "Agent",
    "Check",
    "Comparison",
    "Group",
    "Interval",
    "Key",
    "Limits",
    "Mapper",
    "Player",
    "Predictions",
    "Prices",
    "Prompt",
    "RecordFile",
    "Report",
    "ReportError",
    "Sample",
    "Selection",
    "StoreError",
    "Suite",
    "SuiteFolder",
    "compare",
    "evaluate",
    "findings",
    "headline",
    "holds_episodes",
    "knowing",
    "legend",
    "markdown",
    "parse_seeds",
    "play_attempt",
    "policy_player",
    "predictions_of",
    "read_report",
    "record_of",
    "rich_tables",
    "run_suite",
    "summarise",
    "to_json",
    "verify",
]
