"""The words of every section follow its numbers."""

from collections.abc import Mapping
from typing import Any

import pytest

from mimi_dynamics.report.bets import check_controls
from mimi_dynamics.report.page import CONTENTS
from mimi_dynamics.report.parts import Page
from mimi_dynamics.report.prose import ENVIRONMENT
from tests.report.conftest import all_metrics
from tests.report.test_rulings import RULES, interval


def merged(metrics: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested metrics with some of them changed."""
    return {**metrics} | {
        key: merged(metrics.get(key, {}), value) if isinstance(value, Mapping) else value
        for key, value in changes.items()
    }


def text_of(name: str, changes: Mapping[str, Any]) -> str:
    """One section without pictures and sounds, of metrics in git with some of them changed."""
    section = next(section for section in CONTENTS if section.name == name)
    return rendered(name, merged(all_metrics()[section.stage], changes))


def rendered(name: str, metrics: Mapping[str, Any]) -> str:
    """One section without pictures and sounds, of these metrics."""
    section = next(section for section in CONTENTS if section.name == name)
    controls = metrics if name == "controls" else {}
    page = Page([], check_controls(controls, RULES.controls), RULES.controls, {}, "mimi-mini")
    template = ENVIRONMENT.get_template(f"sections/{name}.html")
    return template.render({section.stage: metrics}, section=section, page=page)


@pytest.mark.parametrize(
    ("name", "key", "ends", "words"),
    [
        ("predict", "dynamic_gain_nats_per_dim", (0.1, 0.2), "more, which is dynamics"),
        ("predict", "dynamic_gain_nats_per_dim", (-0.1, 0.2), "is not decided: 0.050 [−0.100,"),
        ("predict", "dynamic_gain_nats_per_dim", (-0.2, -0.1), "tells less about the latent 80 ms"),
        ("calibration", "calibration.flow.region_90", (0.91, 0.92), "less sure than it could be"),
        ("calibration", "calibration.flow.region_90", (0.89, 0.91), "as sure as it should be"),
        ("calibration", "calibration.flow.region_90", (0.8, 0.89), "too sure of itself"),
        ("horizons", "k1.dynamic_gain_nats_per_dim", (-0.1, 0.1), "At no distance is"),
        ("horizons", "k1.dynamic_gain_nats_per_dim", (0.18, 0.2), " ahead. Up to "),
        ("codec_table", "codec.dynamic_gain_nats_per_dim", (0.9, 0.99), "codec&#39;s own is more."),
        ("codec_table", "codec.dynamic_gain_nats_per_dim", (0, 0.01), "codec&#39;s own is less."),
        ("codec_table", "codec.speech_borne_gain_nats_per_dim", (0.1, 0.2), ", carried by the sp"),
        ("codec_table", "codec.speech_borne_gain_nats_per_dim", (-0.1, 0.1), ", not surely anyth"),
        ("rollout", "k4.gap", (0.1, 0.2), "free running loses at"),
        ("recurrence", "best.variance_reduction_over_shuffled", (0.1, 0.2), "up does predict: the"),
        (
            "recurrence",
            "best.variance_reduction_over_shuffled",
            (-0.1, 0.2),
            "anything is open: the",
        ),
        ("recurrence", "best.variance_reduction_over_predictor", (-0.2, -0.1), "less than the tr"),
        ("rssm", "ease_above_frontier", (0.1, 0.2), "is above the frontier"),
        ("rssm", "ease_above_frontier", (-0.1, 0.2), "is not surely above the frontier"),
        ("rssm", "dynamic_ease_over_raw", (-0.2, -0.1), "it is harder than raw latents"),
        ("engram", "z_dyn.help_nats_per_frame", (0.4, 0.6), "helps more than as many"),
        ("engram", "z_dyn.help_nats_per_frame", (-0.1, 0.1), "helps not surely more than as many"),
        (
            "engram",
            "raw.help_over_shuffled_keys_nats_per_frame",
            (-2, -1),
            "and less than the same",
        ),
        ("calm", "ratio.energy_score", (0.7, 0.9), "are better than those"),
        ("calm", "ratio.energy_score", (0.9, 1.1), "are not surely different from those"),
        ("calm", "ratio.energy_score", (1.2, 1.4), "are worse than those"),
        ("calm", "ratio.train_flops_to_equal_energy_score", (0.4, 0.6), "takes less computation"),
        ("calm", "ratio.train_flops_to_equal_energy_score", (0.9, 1.2), "not surely more or less"),
        ("calm", "ratio.train_flops_to_equal_energy_score", (1.9, 2.1), "takes more computation"),
        ("reconstruct", "test.codec.estoi", (0.1, 0.11), "is less intelligible"),
        ("reconstruct", "test.codec.estoi", (0.98, 0.99), "is more intelligible"),
    ],
)
def test_words_follow_the_interval(
    name: str, key: str, ends: tuple[float, float], words: str
) -> None:
    assert words in " ".join(text_of(name, interval(key, *ends)).split())


def test_collapse_of_the_state_is_told() -> None:
    assert "signs of collapse" in text_of("rssm", {"collapsed": 1})
    assert "signs of collapse" not in text_of("rssm", {"collapsed": 0})


def test_controls_outside_their_limits_are_named() -> None:
    assert "Both are within the limits set: intervals reach" in text_of("controls", {})
    missed = text_of("controls", {"sign_flip": interval("recovered", 0.1, 0.2)})
    assert "outside the limits set for sign flip." in missed


@pytest.mark.parametrize(("share", "misleads"), [(0.9, True), (0.1, False)])
def test_a_measure_that_shuffled_frames_reach_is_called_misleading(
    share: float, misleads: bool
) -> None:
    changes = {"direction_cosine": 0.5}
    changes |= {"surrogates": {"shuffled": {"direction_cosine": 0.5 * share}}}
    note = text_of("predict", changes).split("Free is what frames in random order reach too")[1]
    assert ("cosine with the direction of Δx" in note) == misleads


def test_every_surrogate_has_a_row() -> None:
    """Without words of its own, by its name."""
    gains = {"gain_nats_per_dim": 0.125, "delta_gain_nats_per_dim": 0.25}
    text = text_of("predict", {"surrogates": {"time_reversed": gains}})
    assert '<th scope="row">time reversed</th><td>0.125</td><td>0.250</td>' in text


def test_a_split_that_was_not_measured_has_no_column() -> None:
    stage = all_metrics()["codec"]
    section = next(section for section in CONTENTS if section.name == "codec")
    one = {key: value for key, value in stage.items() if key != "test_voice"}
    template = ENVIRONMENT.get_template("sections/codec.html")
    assert "test voice</th>" in template.render(codec=stage, section=section)
    assert "test voice</th>" not in template.render(codec=one, section=section)


@pytest.mark.parametrize("english", [None, {"words": 0}], ids=["no recogniser", "no words"])
def test_words_that_nobody_counted_are_not_told(english: Mapping[str, Any] | None) -> None:
    told = text_of("reconstruct", {})
    assert "An English recogniser" in told
    assert "words wrong" in told
    metrics = {
        key: value for key, value in all_metrics()["reconstruct"].items() if key != "english"
    }
    if english:
        metrics["english"] = english
    told = rendered("reconstruct", metrics)
    assert "intelligible (ESTOI" in " ".join(told.split())
    assert "recogniser" not in told
    assert "words wrong" not in told


def test_rows_of_another_run_are_named_and_not_shown() -> None:
    table = all_metrics()["codec_table"]
    told = text_of("codec_table", {})
    assert '<th scope="row">log-mel frames</th>' in told
    assert "Not of this run" not in told
    other = {"log_mel": {**table["log_mel"], "differs": "other clips"}}
    rest = {name: row for name, row in table.items() if name != "log_mel"}
    told = rendered("codec_table", {**rest, "not_todays": other})
    assert '<th scope="row">log-mel frames</th>' not in told
    assert "Not of this run, so not shown: log-mel frames (other clips)." in " ".join(told.split())
    alone = rendered("codec_table", {"not_todays": other})
    assert "The row of this run&#39;s codec is of another run." in " ".join(alone.split())


def test_a_codec_without_a_speech_borne_gain_or_codes() -> None:
    """A dash in their columns, and no words; so it is of a row whose quality was not measured."""
    row = all_metrics()["codec_table"]["codec"]
    row = {key: value for key, value in row.items() if "speech_borne" not in key}
    row = {key: value for key, value in row.items() if key not in ("bits_per_s", "quality", "k2")}
    row = {key: value for key, value in row.items() if not key.startswith("audible")}
    told = " ".join(rendered("codec_table", {"codec": row}).split())
    assert "shares no audio" not in told
    assert told.count("<td>–</td>") == 4
    assert "was not measured for both" in " ".join(
        rendered("codec_quality", {"codec": row}).split()
    )


def test_quality_stands_beside_gain_where_it_was_measured() -> None:
    """With words lost, or without a recogniser."""
    quality = {"log_mel": 0.5, "word_error_rate": 0.71}
    row = {**all_metrics()["codec_table"]["codec"], "quality": quality}
    leg = {**row, "quality": {"log_mel": 0.625}}
    told = " ".join(rendered("codec_table", {"codec": row, "leg_1": leg}).split())
    assert "<td>12.5</td><td>900</td><td>0.500</td><td>71.0 %</td>" in told
    assert "<td>12.5</td><td>900</td><td>0.625</td><td>–</td>" in told
    told = " ".join(rendered("codec_quality", {"codec": row, "leg_1": leg}).split())
    assert "the log-mel error of the codec goes from 0.625 to 0.500, its dynamic gain from" in told
