"""The whole way from latents to the table: known gains are found, and none where there is none."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mimi_dynamics as md
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.measurement import efforts, measurement
from mimi_dynamics.measurement.efforts import EFFORTS, STANDARD
from mimi_dynamics.measurement.estimating import UnitBootstrap
from mimi_dynamics.measurement.measurement import Measurement
from mimi_dynamics.measurement.preparing import prepare
from mimi_dynamics.measurement.table import WIDTH
from mimi_dynamics.own_latents.reading import read_source
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import load_params
from tests.harness import ROOT
from tests.measurement.simulated import clips_of, quick

VAR_GAIN = -0.5 * math.log(1 - 0.8**2)


@pytest.mark.trains
def test_a_known_gain_is_found_and_shuffled_frames_have_none(found: Measurement) -> None:
    """x_t = 0.8 x_{t−1} + noise: the gain is −½ ln(1 − 0.8²), two frames ahead −½ ln(1 − 0.8⁴)."""
    nearest, second = found.results["horizons"].values()
    assert nearest["gain_nats_per_dim"] == pytest.approx(VAR_GAIN, abs=0.05)
    assert nearest["dynamic_gain_nats_per_dim_ci_low"] > 0.4
    assert second["gain_nats_per_dim"] == pytest.approx(-0.5 * math.log(1 - 0.8**4), abs=0.05)
    for of in (nearest, second):
        assert of["shuffled_gain_nats_per_dim"] == pytest.approx(0, abs=0.02)
        assert of["smallest_gain_seen_nats_per_dim"] < 0.1


@pytest.mark.slow
@pytest.mark.trains
def test_fast_as_it_is_finds_gain_and_explained_variance() -> None:
    """A Gaussian head that is trained forecasts as well as the process allows: R² = 0.8²."""
    found = md.measure(clips_of("linear"), horizons=[1]).results
    (nearest,) = found["horizons"].values()
    assert nearest["gain_nats_per_dim"] == pytest.approx(VAR_GAIN, abs=0.05)
    assert nearest["r2"] == pytest.approx(0.64, abs=0.06)
    assert found["calibration"]["region_90"] == pytest.approx(0.9, abs=0.05)
    assert found["controls"]["sign_flip"]["true_nats_per_dim"] > 0.1


@pytest.mark.slow
@pytest.mark.trains
def test_best_trains_more_often_and_its_interval_holds_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only on the nearest horizon; the head is the best of several on validation."""
    short = quick("best")
    settings = short.settings.model_copy(update={"heads": ["gaussian", "mdn"]})
    monkeypatch.setitem(efforts.EFFORTS, "best", replace(short, settings=settings))
    found = md.measure(clips_of("linear", 40, 130), horizons=[1, 2], effort="best")
    nearest, second = found.results["horizons"].values()
    assert nearest["gain_nats_per_dim_trainings"] == 3
    assert nearest["gain_nats_per_dim_training_sd"] >= 0
    assert "gain_nats_per_dim_trainings" not in second
    assert nearest["gain_nats_per_dim"] == pytest.approx(VAR_GAIN, abs=0.06)
    assert found.results["head"] in ("gaussian", "mdn")
    assert len(found.results["weights"]) == 9  # five densities, and four without the past
    assert "by three trainings" in " ".join(str(found).split())


@pytest.mark.trains
def test_controls_are_found_beside_it(found: Measurement) -> None:
    controls = found.results["controls"]
    assert controls["linear"]["true_nats_per_dim"] == pytest.approx(VAR_GAIN)
    assert controls["linear"]["found_nats_per_dim"] == pytest.approx(VAR_GAIN, abs=0.06)
    assert controls["white_noise"]["true_nats_per_dim"] == 0
    assert controls["white_noise"]["found_nats_per_dim"] == pytest.approx(0, abs=0.02)


def test_the_table_says_it_all_in_lines_that_fit(found: Measurement) -> None:
    text = str(found)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    for words in (
        "an array of clips: 60 clips of 6 groups, 6,000 frames of 2 dimensions at 12.5 a second",
        "effort fast: a lower bound",
        "1 frame, 80 ms",
        "2 frames, 160 ms",
        "shuffled",
        "dynamic gain",
        "R²",
        "bit/s",
        "Learning curve: ",
        "Calibration of gaussian: 50 % regions hold",
        "white noise",
        "none is there",
    ):
        assert words in text, words
    nearest = next(iter(found.results["horizons"].values()))
    assert f"{nearest['dynamic_gain_nats_per_dim']:.3f}" in text


def test_what_is_saved_is_what_was_found(found: Measurement, tmp_path: Path) -> None:
    """JSON that reads back, a picture, and a page that needs no other file."""
    folder = found.save(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        f"measurement.{kind}" for kind in ("json", "png", "html")
    }
    saved = json.loads((folder / "measurement.json").read_text())
    assert saved == json.loads(json.dumps(found.to_dict()))
    assert saved["schema_version"] == 1
    assert (folder / "measurement.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "measurement.html").read_text()
    assert "data:image/png;base64," in page
    assert not {'src="http', 'href="http', "<script"} & {*page.split()}
    assert f"{saved['horizons']['1']['dynamic_gain_nats_per_dim']:.3f}" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"effort": "huge"}, "effort = 'huge': must be one of fast, standard, best"),
        ({"horizons": []}, "horizons = []: must be a list of whole numbers of frames from 1"),
        ({"horizons": [0]}, "horizons = [0]"),
        ({"horizons": [1.5]}, "horizons = [1.5]"),
        ({"horizons": 1}, "horizons = 1: must be a list"),
        ({"frame_rate": 0}, "frame_rate = 0: must be a number of latents a second above 0"),
        ({"horizons": "12"}, "horizons = '12': must be a list"),
        ({"frame_rate": True}, "frame_rate = True: must be a number"),
        ({"frame_rate": "12.5"}, "frame_rate = '12.5': must be a number"),
        ({"frame_rate": math.nan}, "frame_rate = nan: must be a number"),
        ({"seed": -1}, "seed = -1: must be a whole number"),
        ({"horizons": [150]}, "horizon = 150 (first target at frame 150): must be below the"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(md.InputError) as caught:
        md.measure(clips_of("white_noise"), **arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_horizon_at_the_end_of_the_clips_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = {"1": {"frames": 600}, "90": {"frames": 30}}
    monkeypatch.setattr(measurement, "estimate", lambda *_: {"horizons": scored})
    prepared = prepare(read_source(clips_of("white_noise")))
    notes = measurement.measure_prepared(prepared, "fast", quick(), [1, 90], 0).notes
    few = [note for note in notes if "too few" in note]
    assert len(few) == 1
    assert few[0].startswith("90 frames ahead, only 30 frames of test could be scored")


def test_standard_has_the_settings_of_the_pipeline() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.predict == STANDARD
    assert EFFORTS["standard"].settings == STANDARD
    assert set(EFFORTS["standard"].horizons) <= set(params.horizons)
    assert set(STANDARD.heads) < set(EFFORTS["best"].settings.heads)
    assert EFFORTS["best"].trainings == params.trainings


def test_draws_are_of_clips_and_take_all_pieces_of_one() -> None:
    """Where no clip is in pieces, they are the draws of the pipeline."""
    whole = UnitBootstrap(np.array([4, 7, 9]), 50, 0).weights
    np.testing.assert_array_equal(whole, ClipBootstrap(3, 50, 0).weights)
    cut = UnitBootstrap(np.array([4, 4, 7, 9, 9, 9]), 50, 0).weights
    np.testing.assert_array_equal(cut, whole[:, [0, 0, 1, 2, 2, 2]])


def test_the_package_offers_what_it_says_and_nothing_else() -> None:
    assert {"measure", "Measurement", "InputError"} <= set(dir(md))
    assert md.measure.__name__ == "measure"
    assert md.InputError is InputError
    with pytest.raises(AttributeError, match="has no attribute 'mesure'"):
        md.mesure  # noqa: B018


@pytest.mark.slow
def test_a_script_without_a_guard_is_not_run_again_by_workers(tmp_path: Path) -> None:
    """Workers import the main module of who started them, unless it is hidden."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, mimi_dynamics as md\n"
        "print('once')\n"
        "noise = np.random.default_rng(0).normal(size=(40, 150, 2)).astype('float32')\n"
        "print(md.measure(noise, horizons=[1]))\n"
    )
    run = subprocess.run(
        [sys.executable, str(script)],
        env={"PATH": "", "PYTHONPATH": str(ROOT / "src"), "MIMI_DYNAMICS_CORES": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("once") == 1
    assert "controls of the same size" in run.stdout
