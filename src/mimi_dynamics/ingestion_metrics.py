"""How much speech there is, by corpus, split and voice, and how much was turned away."""

from typing import Any

import pandas as pd

from mimi_dynamics.ingestion import REASONS
from mimi_dynamics.splits import SPLITS


def summarise(manifest: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, Any]:
    """Counts and hours of a manifest, and counts of the rejected files by reason."""
    return {
        "clips": len(manifest),
        "hours": _hours(manifest),
        "voices": manifest["voice"].nunique(),
        "corpora": {
            str(corpus): {"hours": _hours(clips)} for corpus, clips in manifest.groupby("corpus")
        },
        "splits": {split: _size(manifest[manifest["split"] == split]) for split in SPLITS},
        "voice_hours": {
            _key(str(voice)): _hours(clips) for voice, clips in manifest.groupby("voice")
        },
        "rejected": {
            "total": len(rejected),
            **{reason: int((rejected["reason"] == reason).sum()) for reason in REASONS},
        },
    }


def _size(clips: pd.DataFrame) -> dict[str, float]:
    return {"clips": len(clips), "hours": _hours(clips)}


def _hours(clips: pd.DataFrame) -> float:
    return float(clips["seconds"].sum()) / 3600


def _key(voice: str) -> str:
    """A voice as a metric's name: a dot would read as one more level."""
    return voice.replace(".", "_")
