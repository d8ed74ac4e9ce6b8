"""The whole pipeline as a user runs it: DVC, in a fresh clone, on a small corpus of their own."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.harness.small_pipeline import make_clone, run

UP_TO_DATE = "Data and pipelines are up to date."


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a small corpus and small models, its pipeline run once and committed."""
    folder = tmp_path_factory.mktemp("clone")
    make_clone(folder)
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "results")
    return folder


def metrics(clone: Path, stage: str) -> dict[str, object]:
    """The metrics file of a stage."""
    return json.loads((clone / "metrics" / f"{stage}.json").read_text())


def test_headline_metrics_are_there(clone: Path) -> None:
    """Every key that design and README promise, with its interval."""
    found = metrics(clone, "predict")
    for key in ("gain_nats_per_dim", "dynamic_gain_nats_per_dim"):
        assert found[f"{key}_ci_low"] <= found[key] <= found[f"{key}_ci_high"]
        assert key in found["voiced"]
        assert key in found["test_voice"]
    assert found["delta"]["dnll_nats_per_dim"] == -found["delta"]["gain_nats_per_dim"]
    assert set(found["heads"]) == {"gaussian", "mdn", "flow", "var"}
    assert set(found["surrogates"]) == {"shuffled", "permuted", "linear"}
    assert set(found["calibration"]) == {"gaussian", "mdn", "flow"}
    for row in found["surrogates"].values():
        assert {"gain_nats_per_dim", "delta_gain_nats_per_dim"} <= set(row)
    for key in ("r2_one_step", "direction_cosine"):
        assert key in found
        assert key in found["surrogates"]["shuffled"]
    assert (found["horizon_frames"], found["dim"]) == (1, 6)
    sweep = metrics(clone, "horizons")
    for k in ("k1", "k2"):
        for key in ("gain_nats_per_dim", "dynamic_gain_nats_per_dim"):
            assert sweep[k][f"{key}_ci_low"] <= sweep[k][key] <= sweep[k][f"{key}_ci_high"]
    assert 80 <= sweep["half_life_ms"] <= 160
    for process, found in metrics(clone, "controls").items():
        assert ("recovered" in found) == (process != "white_noise")
        assert "estimated_nats_per_dim" in found
    kinds = metrics(clone, "structure")
    assert set(kinds["context"]) == {"c01", "all"}
    assert set(kinds["width"]) == {"w004", "w016"}
    assert len(kinds["component"]) == 6
    sources = metrics(clone, "encoders")
    assert set(sources) == {"trained", "untrained", "log_mel"}
    for source in sources.values():
        assert {"effective_dim", "loudness_r2", "test_voice", "k2"} <= set(source)
        assert -0.2 < source["autocorrelation"]["k1"] < 1
    sounds = metrics(clone, "reconstruct")
    assert sounds["bits_per_s"]["codec"] == 900
    for way in ("codec", "codec_unquantized", "log_mel", "opus"):
        assert {"log_mel", "estoi", "si_sdr_db"} <= set(sounds["test"][way])
    free = metrics(clone, "rollout")
    for k in ("k1", "k2"):
        assert set(free[k]["energy_score"]) >= {"rollout", "direct", "climatology", "var"}
        assert {"gap", "gap_ci_low", "gap_ci_high", "survival", "skill"} <= set(free[k])
    assert len(list((clone / "data/rollout").glob("*.wav"))) == 2
    recurring = metrics(clone, "recurrence")
    for row in (recurring["predictor"], recurring["learned"]["cosine"]):
        assert {"variance_reduction", "variance_reduction_ci_low", "energy_skill"} <= set(row)
    assert {"random", "shuffled", "test_voice", "best"} <= set(recurring)
    factorised = metrics(clone, "rssm")
    for key in ("ease", "raw_ease", "sufficiency", "fidelity_r2", "ease_above_frontier"):
        low, high = factorised[f"{key}_ci_low"], factorised[f"{key}_ci_high"]
        assert low <= factorised[key] <= high
    assert {"full_fidelity_r2", "innovation_bits_per_s", "collapsed"} <= set(factorised)
    assert set(factorised["sweep"]) == {"dim3_budget4"}
    assert set(factorised["surrogates"]) == {"shuffled", "linear"}
    assert {"test_voice", "rivals", "generation", "log_mel_distance"} <= set(factorised)
    assert (clone / "data/states/part-000.parquet").exists()
    memory = metrics(clone, "engram")
    for subject in (memory["raw"], memory["z_dyn"]):
        for key in ("help", "help_over_shuffled_keys", "knock_out_cost"):
            assert f"{key}_nats_per_frame_ci_low" in subject
        assert {"seen_ngram_share", "key_stability", "by_count", "test_voice"} <= set(subject)
    rivals = metrics(clone, "calm")
    for name in ("calm", "ours"):
        assert {"k1", "k1_ci_low", "k2", "mean"} <= set(rivals[name]["energy_score"])
        keys = {"params", "train_flops", "network_evaluations_per_frame", "windows", "decoded"}
        assert keys <= set(rivals[name])
    for key in ("energy_score", "train_flops_to_equal_energy_score"):
        low, high = rivals["ratio"][f"{key}_ci_low"], rivals["ratio"][f"{key}_ci_high"]
        assert low <= rivals["ratio"][key] <= high
    assert {"predictor", "var", "climatology", "persistence", "test_voice"} <= set(rivals)
    heard = {path.name.split(".")[-2] for path in (clone / "data/calm").glob("*.wav")}
    assert heard == {"recorded", "calm-1", "ours-1", "predictor-1"}
    judged = metrics(clone, "bets")
    for bet in ("bet1", "bet2", "bet3", "bet4"):
        assert {"prior", "posterior", "supported", "threshold", "measured"} <= set(judged[bet])
    page = (clone / "report/index.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 12  # 2 of rollout, 4 of calm, 6 of reconstruct


def test_gliding_formants_are_predictable(clone: Path) -> None:
    """They hold their course for two frames: real gain, well above that of shuffled frames."""
    found = metrics(clone, "predict")
    assert found["dynamic_gain_nats_per_dim_ci_low"] > 0.05
    assert abs(found["surrogates"]["permuted"]["gain_nats_per_dim"]) < 0.03


def test_splits_are_by_recording_and_voice(clone: Path) -> None:
    """The held-out voice is nowhere else."""
    manifest = pd.read_parquet(clone / "data/manifest.parquet")
    assert set(manifest["split"]) == {"train", "validation", "test", "test_voice"}
    assert ((manifest["voice"] == "cleo") == (manifest["split"] == "test_voice")).all()


def test_only_intended_files_are_in_git(clone: Path) -> None:
    """Audio, latents and models stay out; metrics, plots and the lock are in."""
    tracked = set(run(clone, "git", "ls-files").stdout.splitlines())
    assert not any(name.startswith(("data/", "report/", "runs/")) for name in tracked)
    assert [n for n in tracked if n.startswith("models/")] == ["models/mimi-mini.safetensors"]
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


def test_experiment_retrains_what_depends_on_the_horizon_only(clone: Path) -> None:
    """`dvc exp run -S horizon=2`, up to predict; then `dvc metrics diff`, and back."""
    output = run(clone, "dvc", "exp", "run", "-S", "horizon=2", "predict").stdout
    assert [line for line in output.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'predict':"
    ]
    changed = json.loads(run(clone, "dvc", "metrics", "diff", "--json").stdout)
    assert set(changed) == {"metrics/predict.json"}
    assert "gain_nats_per_dim" in changed["metrics/predict.json"]
    waiting = json.loads(run(clone, "dvc", "status", "--json").stdout)
    assert set(waiting) == {"structure", "encoders", "recurrence", "engram", "bets"}
    run(clone, "git", "checkout", "-q", ".")
    run(clone, "dvc", "checkout")
    assert UP_TO_DATE in run(clone, "dvc", "repro").stdout


def test_pull_request_report_says_what_changed_and_what_is_wrong(clone: Path) -> None:
    """Nothing for nothing; a stale lock, a missing and a broken file each by name."""
    command = (sys.executable, "tools/metrics_report.py", "HEAD")
    same = run(clone, *command).stdout
    assert "Nothing changed." in same
    assert "Nothing moved." in same
    assert "flips" not in same
    settings = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(settings.replace("horizon: 1 ", "horizon: 3 "))
    (clone / "metrics/normalize.json").write_text('{"dim": NaN}')
    (clone / "metrics/encode.json").unlink()
    result = run(clone, *command, check=False)
    run(clone, "git", "checkout", "-q", ".")
    assert result.returncode == 1
    for problem in (
        "`dvc.lock` is stale: run `dvc repro` and commit what changes (the first stage out of date",
        "`metrics/encode.json` is missing",
        "`metrics/normalize.json`: dim is not a finite number",
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
