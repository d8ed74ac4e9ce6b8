"""Latents without audio through the whole pipeline, as a user runs it: DVC, in a fresh clone."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.harness.own_latents import GAIN, planted, write_npz, write_store
from tests.harness.small_pipeline import make_clone, run

SAID = {  # by the stages that leave something out
    "ingest": "no audio",
    "encode": "no audio",
    "normalize": "no decoder",
    "reconstruct": "no audio",
    "structure": "no decoder",
    "codec_row": "no audio",
    "rollout": "no decoder",
    "recurrence": "no codes",
    "rssm": "no decoder",
    "calm": "no decoder",
}


def set_latents(clone: Path, path: Path) -> None:
    """Set a folder or file of latents for the corpus in params.yaml."""
    yaml = YAML()
    settings = yaml.load(clone / "params.yaml")
    settings["ingest"]["corpora"] = ["latents"]
    settings["ingest"]["latents"]["path"] = str(path)
    yaml.dump(settings, clone / "params.yaml")


def metrics(clone: Path, stage: str) -> dict[str, Any]:
    """All that a stage found."""
    return json.loads((clone / "metrics/detail" / f"{stage}.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_planted_latents_pass_through_every_stage(tmp_path: Path) -> None:
    """Their gain is found, each stage says what it leaves out, and bet 1 is not measured.

    A store of the same latents has the same frames, under other names and so in other splits.
    """
    clone, clips = tmp_path / "clone", planted()
    clone.mkdir()
    make_clone(clone)
    set_latents(clone, write_npz(tmp_path / "own.npz", clips))
    output = ""
    for stage in ("predict", "horizons", "structure", "codec_table", "rssm", "calm", "bets"):
        done = run(clone, "dvc", "repro", stage)  # One after the other: each may take minutes.
        output += done.stdout + done.stderr
    for stage, lacking in SAID.items():
        assert len(re.findall(rf"^{stage}: these latents have {lacking}: ", output, re.M)) == 1
    assert "codes: own-latents has none, so no bits are counted" in output
    check_results(clone)

    before = pd.read_parquet(clone / "data/manifest.parquet")
    set_latents(clone, write_store(tmp_path / "store", clips))
    run(clone, "dvc", "repro", "predict")
    after = pd.read_parquet(clone / "data/manifest.parquet")
    assert set(after["clip_id"]) == {name.split("/")[1] for name in before["clip_id"]}
    assert set(after["sha256"]) == set(before["sha256"])
    found = metrics(clone, "predict")["dynamic_gain_nats_per_dim"]
    assert found == pytest.approx(GAIN, abs=0.1)


def check_results(clone: Path) -> None:
    """The gain is that which was planted; what needs audio is not there, nor judged."""
    gains = metrics(clone, "horizons")["k1"]
    assert gains["dynamic_gain_nats_per_dim"] == pytest.approx(GAIN, abs=0.1)
    row = metrics(clone, "codec_table")["codec"]
    assert row["dynamic_gain_nats_per_dim"] == gains["dynamic_gain_nats_per_dim"]
    assert {"quality", "spliced", "loudness_r2", "bits_per_s"}.isdisjoint(row)
    assert not [key for key in row if key.startswith("speech_borne")]
    assert set(metrics(clone, "reconstruct")) == {"schema_version"}
    assert set(metrics(clone, "codes")) == {"schema_version"}
    assert metrics(clone, "bets")["bet1"]["rules_2026_11_28"]["measured"] == 0
    assert metrics(clone, "bets")["bet1"]["rules_2026_11_22"]["measured"] == 1
    for stage in ("rollout", "calm", "reconstruct"):
        assert not list((clone / "data" / stage).glob("*.wav"))
    page = (clone / "report/index.html").read_text(encoding="utf-8")
    assert "this codec has no speech-borne gain" in page
    assert "<audio" not in page
