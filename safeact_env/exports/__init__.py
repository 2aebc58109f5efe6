"""Data to train on: episodes as chats, as preference pairs and as rated answers, in files.

Owns what `safeact export` writes. Must not know endpoints, servers or trainers: rows are made of episodes,
and what is good or bad in them is what a replay shows.
"""

from safeact_env.exports.card import CANARY
from safeact_env.exports.export import FORMS, Counts, Export, ExportError, export
from safeact_env.exports.pairs import Pair, pairs_of
from safeact_env.exports.rows import pair_row, rated_rows, sft_row
from safeact_env.exports.sources import Played, SourceError, played, recorded

__all__ = [
    "CANARY",
    "FORMS",
    "Counts",
    "Export",
    "ExportError",
    "Pair",
    "Played",
    "SourceError",
    "export",
    "pair_row",
    "pairs_of",
    "played",
    "rated_rows",
    "recorded",
    "sft_row",
]
