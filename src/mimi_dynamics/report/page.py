"""The whole page, from what the stages left behind: a stage that has not run has no section."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mimi_dynamics.pipeline.metrics import Metrics
from mimi_dynamics.report.bets import ControlCheck, Judgement
from mimi_dynamics.report.media import read_figure, read_sounds
from mimi_dynamics.report.parts import Page, Section
from mimi_dynamics.report.rules import ControlLimits

CONTENTS = (  # of the page, below the bets
    Section("controls", "controls", "Known answers"),
    Section("predict", "predict", "Can the next latent be predicted?"),
    Section("calibration", "predict", "Is it as sure as it should be?"),
    Section("horizons", "horizons", "How far ahead?"),
    Section("structure", "structure", "What kind of structure?"),
    Section("encoders", "encoders", "Or is it the encoder?"),
    Section("rollout", "rollout", "Does it run free?"),
    Section("recurrence", "recurrence", "Do patterns recur?"),
    Section("rssm", "rssm", "Is there an easier state?"),
    Section("engram", "engram", "Does a memory help?"),
    Section("calm", "calm", "Ours or CALM?"),
    Section("reconstruct", "reconstruct", "What does the codec keep?"),
    Section("codec", "codec", "The codec"),
)
WITHOUT_FIGURE = ("codec",)
WITH_SOUNDS = ("rollout", "calm", "reconstruct")
PHOTO_QUALITY = 80  # of spectrograms, which lossless compression makes 7 times larger


def build_page(
    judgements: list[Judgement],
    check: ControlCheck,
    limits: ControlLimits,
    metrics: Mapping[str, Metrics],
    folder: Path,
    not_run: Sequence[str] = (),
) -> Page:
    """Gather everything that the page says and shows.

    Args:
        judgements: of the bets, in their order.
        check: of the controls.
        limits: of the controls.
        metrics: by stage, of the stages that have run.
        folder: that holds plots/ and, for sounds, data/reconstruct/, data/rollout/, data/calm/.
        not_run: stages that have no metrics, which the page names.

    Raises:
        InputError: a figure or a sound cannot be read.
    """
    measured = (section for section in CONTENTS if section.stage in metrics)
    sections = tuple(with_media(section, folder) for section in measured)
    return Page(judgements, check, limits, metrics, sections, tuple(not_run))


def with_media(section: Section, folder: Path) -> Section:
    """Add its figure, its sounds and their spectrograms."""
    if section.name not in WITHOUT_FIGURE:
        section = replace(section, figure=read_figure(folder / f"plots/{section.name}.png"))
    data = folder / "data" / section.stage
    if section.stage in WITH_SOUNDS and (sounds := read_sounds(data)):
        spectrograms = read_figure(data / "spectrograms.png", PHOTO_QUALITY)
        section = replace(section, sounds=sounds, spectrograms=spectrograms)
    return section
