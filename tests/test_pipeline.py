"""The whole pipeline as a user runs it: DVC, in a fresh clone, on a small corpus of their own."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from mimi_dynamics.own_latents import pieces
from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.metrics import headline, headline_keys
from mimi_dynamics.pipeline.params import load_params
from tests.harness import ROOT
from tests.harness.agreement import check_agreement, measured_as_predict
from tests.harness.small_pipeline import make_clone, run, run_on_a_stock_machine

STAGES = load_stages(ROOT / "dvc.yaml")
UP_TO_DATE = "Data and pipelines are up to date."


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a small corpus and small models, its pipeline run once and committed.

    It runs on two cores, with the open files and the shared memory of a stock machine. That workers
    were at work is seen by the bytes: everything later runs on one core, and must be the same.
    """
    folder = tmp_path_factory.mktemp("clone")
    make_clone(folder)
    run_on_a_stock_machine(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "results")
    return folder


def stage_of(path: Path) -> str:
    """The stage that wrote a metrics file."""
    return path.stem


def intervals(values: dict) -> Iterator[tuple[float, float, float]]:
    """Every number that has an interval, with its ends."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from intervals(value)
        elif f"{key}_ci_low" in values:
            yield value, values[f"{key}_ci_low"], values[f"{key}_ci_high"]


def metrics(clone: Path, stage: str) -> dict[str, Any]:
    """All that a stage found."""
    return json.loads((clone / "metrics/detail" / f"{stage}.json").read_text())


def keys(values: dict, prefix: str = "") -> set[str]:
    """Dotted keys of nested dicts; a number within a key stands for any, as k1 does for k64."""
    found = set()
    for key, value in values.items():
        name = prefix + re.sub(r"\d+", "#", key)
        found |= keys(value, f"{name}.") if isinstance(value, dict) else {name}
    return found


MEASURED = [  # What frozen stages wrote is in the clone as it is committed.
    path
    for path in sorted((ROOT / "metrics/detail").glob("*.json"))
    if not STAGES[stage_of(path)].get("frozen")
]


@pytest.mark.parametrize("path", MEASURED, ids=stage_of)
def test_every_key_of_the_committed_metrics_is_there(clone: Path, path: Path) -> None:
    """And no other: what readers of metrics rely on does not depend on the corpus."""
    committed, found = keys(json.loads(path.read_text())), keys(metrics(clone, stage_of(path)))
    # Its names; in made-up speech of two voices a recogniser hears no words, nothing is voiced for
    # sure, no interval is over voices, no gain surely halves, and frozen rows are of other clips.
    of_this_corpus = re.compile(
        r"corpora\.|english\.|codec\.quality\.word|.*\.pitch_|.*over_voices\.|.*half_life_"
        r"|(not_todays|untrained|log_mel|lyra|steps_#|leg_#|read_codec|read_lyra)\."
    )
    assert {key for key in committed ^ found if not of_this_corpus.match(key)} == set()


def test_values_are_what_they_say(clone: Path) -> None:
    """Intervals hold their numbers, and those known in advance are there."""
    for path in (clone / "metrics/detail").glob("*.json"):
        for value, low, high in intervals(json.loads(path.read_text())):
            assert low <= value <= high
    assert (
        -metrics(clone, "predict")["delta"]["gain_nats_per_dim"]
        == (metrics(clone, "predict")["delta"]["dnll_nats_per_dim"])
    )
    assert (metrics(clone, "predict")["horizon_frames"], metrics(clone, "predict")["dim"]) == (1, 6)
    assert [metrics(clone, "horizons")[f"k{k}"]["trainings"] for k in (1, 2)] == [2, 1]
    assert metrics(clone, "reconstruct")["bits_per_s"]["codec"] == 900
    table = metrics(clone, "codec_table")
    assert -0.2 < table["codec"]["autocorrelation"]["k1"] < 1
    assert table["codec"]["speech_borne_gain_nats_per_dim_trainings"] == 2
    at_once = metrics(clone, "horizons")["k1"]["dynamic_gain_nats_per_dim"]
    assert table["codec"]["dynamic_gain_nats_per_dim"] == at_once
    quality = metrics(clone, "reconstruct")["test"]["codec"]["log_mel"]
    assert table["codec"]["quality"]["log_mel"] == quality
    # Frozen rows are of the speech of the repository.
    assert set(table["not_todays"]) == set(load_params(ROOT / "params.yaml").codec_table.rows)


def test_the_headline_is_part_of_the_whole(clone: Path) -> None:
    """At most 80 numbers, each that of the detail file."""
    total = 0
    for path in (clone / "metrics").glob("*.json"):
        shown = json.loads(path.read_text())
        assert shown == headline(path.stem, metrics(clone, path.stem))
        total += sum(1 for _ in headline_keys(path.stem))
    assert 50 < total <= 80


def test_sounds_and_states_are_there(clone: Path) -> None:
    """To listen to, and for other models."""
    assert len(list((clone / "data/rollout").glob("*.wav"))) == 2
    assert (clone / "data/states/part-000.parquet").exists()
    heard = {path.name.split(".")[-2] for path in (clone / "data/calm").glob("*.wav")}
    assert heard == {"recorded", "calm-1", "ours-1", "predictor-1"}
    page = (clone / "report/index.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 12  # 2 of rollout, 4 of calm, 6 of reconstruct


def test_gliding_formants_are_predictable(clone: Path) -> None:
    """They hold their course for two frames: real gain, well above that of shuffled frames."""
    found = metrics(clone, "predict")
    assert found["dynamic_gain_nats_per_dim_ci_low"] > 0.05
    assert abs(found["surrogates"]["permuted"]["gain_nats_per_dim"]) < 0.03


@pytest.mark.slow
def test_measure_agrees_with_predict(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the same latents, splits and settings, to the last digit."""
    monkeypatch.setattr(pieces, "LEAST_FRAMES", 100)
    found = measured_as_predict(clone / "data/latents", load_params(clone / "params.yaml"))
    check_agreement(found, metrics(clone, "predict"))


def test_splits_are_by_recording_and_voice(clone: Path) -> None:
    """The held-out voice is nowhere else."""
    manifest = pd.read_parquet(clone / "data/manifest.parquet")
    assert set(manifest["split"]) == {"train", "validation", "test", "test_voice"}
    assert ((manifest["voice"] == "cleo") == (manifest["split"] == "test_voice")).all()


def test_only_intended_files_are_in_git(clone: Path) -> None:
    """Audio, latents and models stay out; metrics, plots and the lock are in."""
    tracked = set(run(clone, "git", "ls-files").stdout.splitlines())
    assert not any(name.startswith(("data/", "report/", "runs/")) for name in tracked)
    models = {name for name in tracked if name.startswith("models/")}
    assert {name for name in models if "/checkpoints/" not in name} == {
        "models/mimi-mini.safetensors"
    }
    assert {"dvc.lock", "metrics/predict.json", "plots/predict.png"} <= tracked
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_again_nothing_runs(clone: Path) -> None:
    """And the check that CI uses, which needs no data, agrees."""
    assert UP_TO_DATE in run(clone, "dvc", "repro").stdout
    assert UP_TO_DATE in run(clone, "dvc", "repro", "--dry", "--allow-missing").stdout


def test_every_plot_has_data(clone: Path) -> None:
    """Curves and figures alike, as `dvc plots show` and `dvc plots diff` read them."""
    shown = json.loads(run(clone, "dvc", "plots", "show", "--json").stdout)
    named = YAML().load(clone / "dvc.yaml")["plots"]
    names = {entry if isinstance(entry, str) else next(iter(entry)) for entry in named}
    assert set(shown["data"]) == names
    assert all(found and found[0]["revisions"] for found in shown["data"].values())
    assert "errors" not in shown


def test_forced_again_metrics_are_the_same_bytes(clone: Path) -> None:
    """Training and figures included."""
    run(clone, "dvc", "repro", "-f", "-s", "predict")
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_experiment_with_the_horizon_moves_what_it_names_and_no_verdict(clone: Path) -> None:
    """`dvc exp run -S horizon=2` runs three stages, and every posterior is as it was.

    Then `dvc metrics diff`, and the way back.
    """
    output = run(clone, "dvc", "exp", "run", "-S", "horizon=2").stdout
    ran = re.findall(r"^Running stage '(.+)':", output, re.M)
    assert sorted(ran) == ["bets", "figures", "predict"]
    assert metrics(clone, "predict")["horizon_frames"] == 2
    changed = run(clone, "git", "diff", "--name-only", "HEAD", "--", "metrics").stdout.split()
    assert changed == ["metrics/detail/predict.json", "metrics/predict.json"]
    shown = json.loads(run(clone, "dvc", "metrics", "diff", "--json").stdout)
    assert set(shown) == {"metrics/predict.json"}
    assert "gain_nats_per_dim" in shown["metrics/predict.json"]
    run(clone, "git", "checkout", "-q", ".")
    run(clone, "dvc", "checkout")
    assert UP_TO_DATE in run(clone, "dvc", "repro").stdout


def test_pull_request_report_says_what_changed_and_what_is_wrong(clone: Path) -> None:
    """Nothing for nothing; a stale lock, a missing and a broken file each by name."""
    command = (sys.executable, "tools/metrics_report.py", "HEAD")
    same = run(clone, *command).stdout
    assert "Nothing changed." in same
    assert "Nothing moved." in same
    assert "No verdict flips." in same
    settings = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(settings.replace("horizon: 1 ", "horizon: 3 "))
    (clone / "metrics/detail/normalize.json").write_text('{"dim": NaN}')
    (clone / "metrics/detail/encode.json").unlink()
    result = run(clone, *command, check=False)
    run(clone, "git", "checkout", "-q", ".")
    assert result.returncode == 1
    for problem in (
        "`dvc.lock` is stale: run `dvc repro` and commit what changes (the first stage out of date",
        "`metrics/detail/encode.json` is missing",
        "`metrics/detail/normalize.json`: dim is not a finite number",
        "| params.yaml | horizon | 1 | 3 |",
        "Without the files named above.\n\nNothing moved.",
    ):
        assert problem in result.stdout


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("horizon=500", "below the longest clip of every split"),
        ("+predict.typo=1", "predict.typo: unknown setting"),
    ],
)
def test_bad_settings_end_in_one_line(clone: Path, setting: str, problem: str) -> None:
    """Named, without a traceback; what was committed can be had back."""
    result = run(clone, "dvc", "exp", "run", "-S", setting, check=False)
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert problem in output
    assert "Traceback" not in output
    run(clone, "git", "checkout", "-q", ".")
    run(clone, "dvc", "checkout")
