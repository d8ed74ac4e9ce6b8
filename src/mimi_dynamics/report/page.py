"""The contents of the report page, from the results of stages that have run.

A stage that has not run has no section.
"""

from dataclasses import replace
from pathlib import Path

from mimi_dynamics.report.media import read_figure, read_sounds
from mimi_dynamics.report.parts import Page, Section

CONTENTS = (  # the sections of the page, below the bets
    Section("controls", "controls", "Known answers"),
    Section("predict", "predict", "What does the past tell?"),
    Section("calibration", "predict", "Is it as sure as it should be?"),
    Section("horizons", "horizons", "How far ahead?"),
    Section("structure", "structure", "What kind of structure?"),
    Section("codec_table", "codec_table", "Or is it the encoder?"),
    Section("codec_quality", "codec_table", "And as the codec gets better?"),
    Section("codes", "codes", "How many bits does the past save on codes?"),
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
PHOTO_QUALITY = 80  # for spectrograms, which would be 7 times larger with lossless compression


def with_sections(page: Page, folder: Path) -> Page:
    """Add the sections about everything that was measured.

    Args:
        page: what else the page says.
        folder: the folder with plots/ and, for sounds, data/reconstruct/, data/rollout/,
            data/calm/.

    Raises:
        InputError: if a figure or a sound cannot be read.
    """
    measured = (section for section in CONTENTS if section.stage in page.metrics)
    return replace(page, sections=tuple(with_media(section, folder) for section in measured))


def with_media(section: Section, folder: Path) -> Section:
    """Add to a section its figure, its sounds and their spectrograms."""
    if section.name not in WITHOUT_FIGURE:
        section = replace(section, figure=read_figure(folder / f"plots/{section.name}.png"))
    data = folder / "data" / section.stage
    if section.stage in WITH_SOUNDS and (sounds := read_sounds(data)):
        spectrograms = read_figure(data / "spectrograms.png", PHOTO_QUALITY)
        section = replace(section, sounds=sounds, spectrograms=spectrograms)
    return section
