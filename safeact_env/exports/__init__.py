"""Training data: episodes as chats, as preference pairs and as rated answers, in files.

Owns what `safeact export` writes. Must not know endpoints, servers or trainers: rows are made from episodes,
and replays decide which calls are good or bad.
"""

from safeact_env.exports.card import CANARY
from safeact_env.exports.export import FORMS, Counts, Export, ExportError, export
from safeact_env.exports.pairs import Pair, pairs_of
from safeact_env.exports.rows import pair_row, rated_rows, sft_row
from safeact_env.exports.sources import Rollout, SourceError, policy_rollouts, recorded_rollouts

__all__ = [
    "CANARY",
    "FORMS",
    "Counts",
    "Export",
    "ExportError",
    "Pair",
    "Rollout",
    "SourceError",
    "export",
    "pair_row",
    "pairs_of",
    "policy_rollouts",
    "rated_rows",
    "recorded_rollouts",
    "sft_row",
]
