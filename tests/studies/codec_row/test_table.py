"""A row is trusted while its weights, clips and settings are those of today."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mimi_dynamics.figures.codec_quality import codec_quality_figure
from mimi_dynamics.figures.codec_table import codec_table_figure, finding
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.studies import clips_sha256, differences
from mimi_dynamics.studies.codec_row import table as module
from mimi_dynamics.studies.codec_row.records import (
    origin_of,
    row_path,
    write_row,
)
from mimi_dynamics.studies.codec_row.subjects import weights_of
from mimi_dynamics.studies.codec_row.table import NOT_TODAYS, plot_table, quality_table, read_rows
from tests.harness import ROOT

PARAMS = load_params(ROOT / "params.yaml")
MANIFEST = pd.DataFrame(
    {"clip_id": ["b", "a"], "sha256": ["1", "2"], "voice": ["x", "y"], "split": ["test", "train"]}
)
CLIPS = clips_sha256(MANIFEST)


def with_section(of: str, **changes: object) -> Params:
    """Today's settings with some of one section changed."""
    section = getattr(PARAMS, of).model_copy(update=changes)
    return PARAMS.model_copy(update={of: section})


def gains(value: float) -> dict[str, float]:
    """A gain that only the run's codec has trained several times."""
    found = {}
    for name in ("gain", "dynamic_gain", "speech_borne_gain"):
        key = f"{name}_nats_per_dim"
        found |= {key: value, f"{key}_ci_low": value - 0.01, f"{key}_ci_high": value + 0.01}
    return found


def quality(log_mel: float, words: float | None = None) -> dict[str, float]:
    """A quality, with words lost or without a recogniser."""
    found = {"log_mel": log_mel} | ({} if words is None else {"word_error_rate": words})
    return found | {f"{key}_ci_{end}": at for key, at in found.items() for end in ("low", "high")}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows of today, of a codec with weights abc."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "weights_of", lambda row, _: "abc" if row == "codec" else "")
    for number, row in enumerate(("codec", "untrained", "log_mel")):
        origin = origin_of(row, "abc" if row == "codec" else "", CLIPS, PARAMS)
        metrics = gains(0.1 * number + 0.1)
        if row == "codec":
            metrics |= {"test_voice": gains(0.4), "spliced": gains(0.05)}
        if row != "log_mel":
            metrics["quality"] = quality(0.5 * number + 0.5)
        write_row(row, metrics, origin)
    return tmp_path


def test_rows_of_today_stand_side_by_side(rows: Path) -> None:
    found = read_rows(PARAMS, CLIPS)
    assert list(found) == ["codec", "untrained", "log_mel"]
    assert found["log_mel"]["dynamic_gain_nats_per_dim"] == pytest.approx(0.3)
    assert "origin" not in found["codec"]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (with_section("latents", dim=7), {"codec", "untrained", "log_mel"}),
        (with_section("encode", dtype="bfloat16"), {"codec", "untrained", "log_mel"}),
        (with_section("codec", name="mimi"), {"codec", "untrained"}),
        (
            with_section("codec", mini=PARAMS.codec.mini.model_copy(update={"filters": 4})),
            {"untrained"},
        ),
        (PARAMS.model_copy(update={"trainings": 5}), {"codec"}),
        (with_section("codec_table", trainings=3), {"untrained", "log_mel"}),
        (with_section("reconstruct", clips=3), {"codec", "untrained"}),
        (with_section("reconstruct", listen_clips=1), set()),
        (with_section("encode", engine="ray"), set()),
        (with_section("predict", heads=["mdn"]), set()),
        (PARAMS.model_copy(update={"horizon": 8}), set()),
    ],
    ids=[
        "latents",
        "encode",
        "codec",
        "shape",
        "trainings",
        "theirs",
        "heard",
        "listened to",
        "engine",
        "heads",
        "horizon",
    ],
)
def test_rows_of_other_settings_stand_apart(rows: Path, params: Params, told: set[str]) -> None:
    found = read_rows(params, CLIPS)
    assert set(found.get(NOT_TODAYS, {})) == told
    assert {"codec", "untrained", "log_mel"} - told == set(found) - {NOT_TODAYS}
    assert set(plot_table(found)["row"]) == set(found) - {NOT_TODAYS}


def test_rows_of_other_clips_or_weights_say_so(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_rows(PARAMS, "other")[NOT_TODAYS]
    assert {row["differs"] for row in found.values()} == {"other clips"}
    monkeypatch.setattr(module, "weights_of", lambda *_: "def")
    assert read_rows(PARAMS, CLIPS)[NOT_TODAYS]["codec"]["differs"] == "other weights"
    monkeypatch.setattr(module, "weights_of", lambda *_: None)  # They are not on this machine.
    assert NOT_TODAYS not in read_rows(PARAMS, CLIPS)


def test_both_weights_and_settings_are_named() -> None:
    before = origin_of("codec", "abc", CLIPS, PARAMS)
    now = origin_of("codec", "def", CLIPS, with_section("latents", dim=7))
    told = differences(before, now)
    assert told == ["other weights", f"latents.dim = {PARAMS.latents.dim} (now 7)"]


def test_a_row_of_read_speech_is_true_whatever_the_clips_of_the_run(rows: Path) -> None:
    """Its own clips are not at hand; where they come from and how they are split is compared."""
    write_row(
        "read_lyra",
        gains(0.2) | {"quality": quality(1.0)},
        origin_of("read_lyra", "", "theirs", PARAMS),
    )
    params = with_section("codec_table", rows=[*PARAMS.codec_table.rows, "read_lyra"])
    found = read_rows(params, "other")
    assert set(found[NOT_TODAYS]) == {"codec", "untrained", "log_mel"}
    assert found["read_lyra"]["gain_nats_per_dim"] == 0.2
    assert "read_lyra" in set(plot_table(found)["row"])
    assert "read_lyra" not in set(quality_table(found, PARAMS)["row"])
    splits = PARAMS.ingest.splits.model_copy(update={"train": 0.7, "test": 0.2})
    ingest = params.ingest.model_copy(update={"splits": splits})
    others = read_rows(params.model_copy(update={"ingest": ingest}), CLIPS)[NOT_TODAYS]
    assert others["read_lyra"]["differs"].startswith("ingest.splits.test = 0.1 (now 0.2)")


@pytest.mark.parametrize(
    "changes",
    [{"min_seconds": 3.0}, {"max_seconds": 5.0}, {"cut_long": False}, {"keep_copies": False}],
)
def test_a_row_of_read_speech_depends_on_what_decides_its_clips(changes: dict[str, object]) -> None:
    """And on no voice or corpus of the run."""
    recorded = origin_of("read_lyra", "", "theirs", PARAMS)
    today = origin_of("read_lyra", "", None, with_section("ingest", **changes))
    (told,) = differences(recorded, today)
    assert told.startswith(f"ingest.{next(iter(changes))} = ")
    others = with_section("ingest", corpora=["librispeech"], test_voices=[])
    assert differences(recorded, origin_of("read_lyra", "", None, others)) == []


def test_latents_without_a_codec_have_no_row_of_read_speech(rows: Path) -> None:
    """There is no codec whose row it could be."""
    write_row("read_codec", gains(0.2), origin_of("read_codec", "abc", "theirs", PARAMS))
    params = with_section("codec_table", rows=["read_codec"])
    assert read_rows(params, CLIPS, "")[NOT_TODAYS]["read_codec"]["differs"] == "other weights"


def test_a_row_that_was_never_measured_is_left_out(rows: Path) -> None:
    row_path("log_mel").unlink()
    assert list(read_rows(PARAMS, CLIPS)) == ["codec", "untrained"]


def test_clips_are_told_by_their_audio_voice_and_split_in_any_order() -> None:
    assert clips_sha256(MANIFEST[::-1]) == CLIPS
    for column in MANIFEST:
        other = MANIFEST.assign(**{column: ["b", "c"]})
        assert clips_sha256(other) != CLIPS
    assert clips_sha256(MANIFEST.assign(text="")) == CLIPS


def test_committed_rows_are_of_the_settings_in_git() -> None:
    """Otherwise the first table that a user sees would have one row."""
    for row in PARAMS.codec_table.rows:
        recorded = json.loads((ROOT / row_path(row)).read_text())["origin"]
        today = origin_of(row, weights_of(row, PARAMS), recorded["clips_sha256"], PARAMS)
        assert differences(recorded, today) == []


@pytest.mark.parametrize("kept", [["codec", "untrained", "log_mel"], ["codec"], []])
def test_the_picture_has_whatever_rows_there_are(rows: Path, kept: list[str]) -> None:
    table = plot_table(read_rows(PARAMS, CLIPS))
    figure = codec_table_figure(table[table["row"].isin(kept)])
    assert len(figure.axes) == (2 if kept else 1)
    bars = sum(patch.get_height() > 0 for patch in figure.axes[0].patches)
    assert bars == {3: 10, 1: 4, 0: 0}[len(kept)]


def test_the_title_of_the_picture_is_what_was_found() -> None:
    """How many are surely predictable, and of how many of these the speech is why."""
    ends = {
        ("a", "dynamic"): 0.06,
        ("a", "speech_borne"): 0.05,
        ("b", "dynamic"): 0.2,
        ("b", "speech_borne"): 0.04,
        ("c", "dynamic"): 0.01,
        ("c", "speech_borne"): 0.3,
    }
    table = pd.DataFrame([(*key, "test", low) for key, low in ends.items()])
    table = table.set_axis(["row", "what", "split", "low"], axis=1)
    said = finding(pd.concat([table, table.assign(row="read_lyra")]))
    assert "in 2 of 3 representations; in 1 of them" in said
    assert finding(table.assign(row="read_lyra")) == "No row of this run's codec and clips"


def test_gain_against_quality_has_the_rows_with_a_quality(rows: Path) -> None:
    """And tells those of one training by their legs: a codec of another shape is not of it."""
    found = read_rows(PARAMS, CLIPS)
    found["steps_400"] = gains(0.3) | {"quality": quality(0.9, 1.0)}
    found["leg_2"] = gains(0.25) | {"quality": quality(0.6, 0.8)}
    found["lyra"] = gains(0.1) | {"quality": quality(0.3, 0.2)}
    assert not {"leg_2", "steps_400"} & set(plot_table(found)["row"])
    table = quality_table(found, PARAMS).set_index("row")
    legs = PARAMS.codec.mini.legs
    less = {"steps_400": 400 / legs[0].steps, "leg_2": 2}
    assert table["legs"].dropna().to_dict() == {"codec": len(legs), "untrained": 0, **less}
    shown = table.loc["leg_2", ["log_mel", "word_error_rate", "dynamic"]]
    assert shown.tolist() == [0.6, 0.8, 0.25]
    assert table.loc["lyra", "speech_borne_ci_low"] == pytest.approx(0.09)
    assert table.loc["codec", ["word_error_rate"]].isna().all()
    other = quality_table(found, with_section("codec", name="mimi")).set_index("row")
    assert other["legs"].dropna().to_dict() == less


@pytest.mark.parametrize("kept", [["codec", "untrained", "leg_1", "lyra"], ["lyra"], []])
def test_the_picture_of_quality_has_whatever_rows_there_are(
    rows: Path, tmp_path: Path, kept: list[str]
) -> None:
    """With a line through the training alone, also without a speech-borne gain or words."""
    found = read_rows(PARAMS, CLIPS)
    found["leg_1"] = gains(0.25) | {"quality": quality(0.6, 0.8)}
    plain = {key: value for key, value in gains(0.1).items() if "speech_borne" not in key}
    found["lyra"] = plain | {"quality": quality(0.3, 0.2)}
    quality_table(found, PARAMS).to_csv(tmp_path / "table.csv", index=False)
    table = pd.read_csv(tmp_path / "table.csv")
    figure = codec_quality_figure(table[table["row"].isin(kept)])
    figure.savefig(tmp_path / "drawn.png")
    (axes,) = figure.axes
    joined = {len(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-"}
    assert (3 in joined) == ("leg_1" in kept)
    assert 4 not in joined
    lyra = "Lyra V2\n20 % of words wrong"
    run, untrained = "the codec of\nthis run", "its shape,\nnever trained"
    every = {run, untrained, "mimi-mini after\nits first leg\n80 % of words wrong", lyra}
    told = {text.get_text() for text in axes.texts}
    assert told == {4: every, 1: {lyra}, 0: set()}[len(kept)]
