"""What the numeric encoding reads out of the file cleanup."""

from __future__ import annotations

from safeact_env.core.features import FeatureExtractor

FEATURES = FeatureExtractor(
    rows=28,
    words={
        "status": ("present", "archived", "deleted"),
        "important": ("unclassified",),
        "snapshots": ("none",),
    },
)
