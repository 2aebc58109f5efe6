"""What is read out of the file cleanup."""

from __future__ import annotations

from safeact_env.core.features import FeatureExtractor

__all__ = ["FEATURES"]

FEATURES = FeatureExtractor(
    rows=28,
    words={
        "status": ("present", "archived", "deleted"),
        "type": ("temp",),
        "important": ("unclassified",),
    },
)
