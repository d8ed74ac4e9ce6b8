"""Two levels of metrics: all that a stage found, and the headline that people watch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import (
    HEADLINES,
    headline,
    headline_keys,
    read_metrics,
    write_stage_metrics,
)
from tests.harness import ROOT

SCREEN_COLUMNS = 160
# The line of README.md that shows experiments side by side.
EXPERIMENTS = (
    "dvc exp show --no-pager --drop '.*' --keep 'Experiment|horizon$|dynamic_gain_nats_per_dim$"
    "|dynamic_ease$|z_dyn.help_nats_per_frame$|ratio.energy_score$'"
)


def test_the_headline_is_nested_as_the_whole_and_leaves_out_what_is_not_there() -> None:
    found = {
        "dynamic_gain_nats_per_dim": 0.4,
        "dynamic_gain_nats_per_dim_ci_low": 0.3,
        "dynamic_gain_nats_per_dim_ci_high": 0.5,
        "gain_nats_per_dim": 0.45,
        "gain_nats_per_dim_ci_low": 0.44,
        "delta": {"dnll_nats_per_dim": -0.9, "gain_nats_per_dim": 0.9},
        "heads": {"flow": {"nll_nats_per_dim": 0.7}},
    }
    assert headline("predict", found) == {
        "dynamic_gain_nats_per_dim": 0.4,
        "dynamic_gain_nats_per_dim_ci_low": 0.3,
        "dynamic_gain_nats_per_dim_ci_high": 0.5,
        "gain_nats_per_dim": 0.45,
        "delta": {"dnll_nats_per_dim": -0.9},
    }


def test_both_files_are_written_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_stage_metrics("ingest", {"clips": 3, "hours": 0.25, "splits": {"test": {"clips": 1}}})
    assert json.loads(Path("metrics/ingest.json").read_text()) == {"clips": 3, "hours": 0.25}
    whole = {"clips": 3, "hours": 0.25, "splits": {"test": {"clips": 1}}}
    assert read_metrics(Path("metrics/detail/ingest.json")) == whole
    write_stage_metrics("encode", {"clips": 3})
    assert not Path("metrics/encode.json").exists()


def test_keys_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "predict.json"
    path.write_text('{"schema_version": 2, "gain": 1}')
    with pytest.raises(InputError, match="schema_version = 2, must be 1; run the stage predict"):
        read_metrics(path)


def test_what_is_watched_fits_a_screen() -> None:
    """DVC prints a line for each number: 80 at most, all stages together."""
    assert sum(1 for stage in HEADLINES for _ in headline_keys(stage)) <= 80


def test_committed_headlines_are_those_of_the_committed_whole() -> None:
    paths = sorted((ROOT / "metrics").glob("*.json"))
    assert {path.stem for path in paths} <= HEADLINES.keys()
    for path in paths:
        whole = read_metrics(ROOT / "metrics/detail" / path.name)
        assert json.loads(path.read_text()) == headline(path.stem, whole)


def test_dvc_shows_the_headline_and_nothing_else() -> None:
    stages = load_stages(ROOT / "dvc.yaml")
    shown = {name for stage in stages.values() for out in stage.get("metrics", []) for name in out}
    assert shown == {f"metrics/{stage}.json" for stage in HEADLINES}


def test_experiments_fit_the_width_of_a_screen() -> None:
    """By the command that the page on experiments gives."""
    page = (ROOT / "docs/how_to/experiments.md").read_text(encoding="utf-8")
    assert EXPERIMENTS.replace(" --no-pager", "") in page
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    environment = os.environ | {"COLUMNS": str(SCREEN_COLUMNS)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    shown = subprocess.run(
        EXPERIMENTS,
        shell=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    header = shown.stdout.splitlines()[1]
    for name in ("horizon", "dynamic_gain_nats_per_dim", "ratio.energy_score"):
        assert name in header
    assert "…" not in shown.stdout
    assert max(len(line) for line in shown.stdout.splitlines()) <= SCREEN_COLUMNS
