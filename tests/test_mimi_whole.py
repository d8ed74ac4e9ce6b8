"""Weights of the shape of Kyutai's Mimi take every stage, from recordings to the page."""

import json
from pathlib import Path

import pytest

from tests.harness.small_pipeline import make_clone, run
from tests.harness.tiny_codec import write_random_mimi

# One after the other: each may take minutes. What stands between is run with the next.
STAGES = ("encode", "predict", "horizons", "structure", "codec_table", "rssm", "calm", "bets")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_random_weights_of_its_shape_take_every_stage(tmp_path: Path) -> None:
    """They are heard, have codes, and are named on the page; nothing they say means anything."""
    clone, weights = tmp_path / "clone", tmp_path / "random mimi.safetensors"
    clone.mkdir()
    make_clone(clone, clips_per_voice=10)
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-qm", "settings")
    write_random_mimi(weights)
    settings = ("-S", "codec.name=mimi", "-S", f'codec.mimi.weights="{weights}"')
    for stage in STAGES:
        run(clone, "dvc", "exp", "run", *settings, stage)
    row = json.loads((clone / "metrics/detail/codec_table.json").read_text())["codec"]
    assert row["speech_borne_gain_nats_per_dim_trainings"] == 2
    assert json.loads((clone / "metrics/detail/codes.json").read_text())
    assert len(list((clone / "data/rollout").glob("*.wav"))) == 2
    page = (clone / "report/index.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 12
    assert "mimi" in page
