"""The whole page, from what the stages left behind: a stage that has not run has no section."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mimi_dynamics.pipeline.conventions import FRAME_MS
from mimi_dynamics.report.bets import ControlCheck, Judgement, informative_horizon
from mimi_dynamics.report.codecs import codec_section, encoders_section, reconstruct_section
from mimi_dynamics.report.latents import recurrence_section, structure_section
from mimi_dynamics.report.media import read_figure, read_sounds
from mimi_dynamics.report.metrics_file import Metrics, has, measured
from mimi_dynamics.report.models import (
    calm_section,
    engram_section,
    rollout_section,
    rssm_section,
)
from mimi_dynamics.report.parts import Figure, Page, Section
from mimi_dynamics.report.prediction import (
    calibration_section,
    controls_section,
    horizons_section,
    predict_section,
)
from mimi_dynamics.report.rules import ControlLimits
from mimi_dynamics.report.scoreboard import advice, scored, warnings, weakest_text

ALTS = {  # of plots/<section>.png
    "controls": "Bars: share of the true gain that the estimator finds, for each process.",
    "predict": "Bars with intervals: gain on x and on its change, for speech and surrogates.",
    "calibration": "Share of held-out frames inside a region against the probability given to it.",
    "horizons": "Curves with bands: gain against lead time, for speech and shuffled frames.",
    "structure": "Gain by context, by width and by principal component.",
    "encoders": "Gain, correlation by lag and variance by component, for three encoders.",
    "reconstruct": "Bars: quality of decoded speech, by codec and measure.",
    "rollout": "Curves with bands: skill and survival of free-running samples by lead time.",
    "recurrence": "Variance explained by lookup, by number of neighbours, key and metric.",
    "rssm": "Ease against fidelity of the state, beside the frontier of cheap rivals.",
    "engram": "What a lookup memory adds, and how that depends on how often its key was seen.",
    "calm": "Energy score by lead time and cost, for CALM and for ours.",
}
SPECTROGRAMS = {  # of data/<stage>/spectrograms.png
    "rollout": "Spectrograms: recordings in the first row, continuations of their starts below.",
    "calm": "Spectrograms: recordings in the first row, each continuation of their starts below.",
    "reconstruct": "Spectrograms: recordings in the first row, what codecs make of them below.",
}
PHOTO_QUALITY = 80  # of spectrograms, which lossless compression makes 7 times larger


def build_page(
    judgements: list[Judgement],
    check: ControlCheck,
    limits: ControlLimits,
    metrics: Mapping[str, Metrics],
    folder: Path,
    not_run: Sequence[str] = (),
) -> Page:
    """Everything the page says and shows.

    Args:
        judgements: of the bets, in their order.
        check: of the controls.
        limits: of the controls.
        metrics: by stage, of the stages that have run.
        folder: that holds plots/ and, for sounds, data/reconstruct/, data/rollout/, data/calm/.
        not_run: stages that have no metrics, which the page names.

    Raises:
        InputError: a number, a figure or a sound cannot be read.
    """
    floor = limits.most_null_nats_per_dim
    informative = informative_horizon(metrics["horizons"], floor) if "horizons" in metrics else None
    return Page(
        summary=summary(metrics),
        warnings=warnings(check, limits),
        not_run=not_run,
        bets=[scored(number, found, metrics) for number, found in enumerate(judgements, 1)],
        weakest=weakest_text(judgements),
        advice=advice(judgements, check, informative, floor),
        sections=[
            replace(section, figures=read_figures(section, folder))
            for section in find_sections(metrics, check, limits, folder)
        ],
    )


def summary(metrics: Mapping[str, Metrics]) -> str:
    """What this is about, and on how much speech."""
    text = (
        f"A codec turns speech into one vector every {FRAME_MS} ms. How much of the next is known?"
    )
    if "ingest" not in metrics:
        return text
    hours, clips, voices = (
        measured(metrics["ingest"], key).value for key in ("hours", "clips", "voices")
    )
    return (
        f"{text} Measured on {hours:.1f} hours of speech: {clips:.0f} clips, {voices:.0f} "
        f"{'voice' if voices == 1 else 'voices'}."
    )


def find_sections(
    metrics: Mapping[str, Metrics], check: ControlCheck, limits: ControlLimits, folder: Path
) -> Iterator[Section]:
    """A section for everything that was measured, without figures."""
    if "controls" in metrics:
        yield controls_section(metrics["controls"], check, limits)
    if "predict" in metrics:
        yield predict_section(metrics["predict"])
        if has(metrics["predict"], "calibration"):
            yield calibration_section(metrics["predict"])
    if "horizons" in metrics:
        yield horizons_section(metrics["horizons"], limits.most_null_nats_per_dim)
    if "structure" in metrics:
        yield structure_section(metrics["structure"])
    if "encoders" in metrics:
        yield encoders_section(metrics["encoders"])
    if "rollout" in metrics:
        yield rollout_section(metrics["rollout"], read_sounds(folder / "data/rollout"))
    if "recurrence" in metrics:
        yield recurrence_section(metrics["recurrence"])
    if "rssm" in metrics:
        yield rssm_section(metrics["rssm"])
    if "engram" in metrics:
        yield engram_section(metrics["engram"])
    if "calm" in metrics:
        yield calm_section(metrics["calm"], read_sounds(folder / "data/calm"))
    if "reconstruct" in metrics:
        sounds = read_sounds(folder / "data/reconstruct")
        yield reconstruct_section(metrics["reconstruct"], sounds)
    if "codec" in metrics:
        yield codec_section(metrics["codec"])


def read_figures(section: Section, folder: Path) -> tuple[Figure, ...]:
    """The figure of a section's stage, and spectrograms of what it lets hear."""
    figures = []
    if section.anchor in ALTS:
        figures.append(read_figure(folder / f"plots/{section.anchor}.png", ALTS[section.anchor]))
    if section.sounds:
        path = folder / f"data/{section.stage}/spectrograms.png"
        figures.append(read_figure(path, SPECTROGRAMS[section.stage], PHOTO_QUALITY))
    return tuple(figures)
