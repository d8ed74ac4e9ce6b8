"""The contents of the report page, from the results of stages that have run.

A stage that has not run has no section.
"""

from dataclasses import replace
from pathlib import Path

from mimi_dynamics.report.media import read_figure, read_sounds
from mimi_dynamics.report.parts import Chapter, Page, Section

CHAPTERS = (
    Chapter("bet1", "Can it be predicted?", 1),
    Chapter("bet2", "Is there an easier state?", 2),
    Chapter("bet3", "Does a memory help?", 3),
    Chapter("bet4", "Ours or CALM?", 4),
    Chapter("speech", "What the latents are of", 0),
)
CONTENTS = (
    Section("controls", "controls", "bet1", "Known answers"),
    Section("predict", "predict", "bet1", "What does the past tell?"),
    Section("learning_curve", "predict", "bet1", "Would more speech show more?"),
    Section("calibration", "predict", "bet1", "Is it as sure as it should be?"),
    Section("horizons", "horizons", "bet1", "How far ahead?"),
    Section("codec_table", "codec_table", "bet1", "Or is it the encoder?"),
    Section("codec_quality", "codec_table", "bet1", "And as the codec gets better?"),
    Section("structure", "structure", "bet1", "What kind of structure?"),
    Section("codes", "codes", "bet1", "How many bits does the past save on codes?"),
    Section("rollout", "rollout", "bet1", "Does it run free?"),
    Section("rssm", "rssm", "bet2", "The state beside its rivals"),
    Section("recurrence", "recurrence", "bet3", "Does looking up similar moments predict?"),
    Section("engram", "engram", "bet3", "The memory beside its controls"),
    Section("calm", "calm", "bet4", "Samples and cost side by side"),
    Section("reconstruct", "reconstruct", "speech", "What does the codec keep?"),
    Section("codec", "codec", "speech", "The codec"),
)
OPENING = "codec_table"  # its figure answers the question, so it stands on the first screen
WITHOUT_FIGURE = (OPENING, "codec")
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
    sections = tuple(with_media(section, folder) for section in measured)
    opening = read_figure(folder / f"plots/{OPENING}.png") if OPENING in page.metrics else None
    return replace(page, opening=opening, chapters=CHAPTERS, sections=sections)


def with_media(section: Section, folder: Path) -> Section:
    """Add to a section its figure, its sounds and their spectrograms."""
    if section.name not in WITHOUT_FIGURE:
        section = replace(section, figure=read_figure(folder / f"plots/{section.name}.png"))
    data = folder / "data" / section.stage
    if section.stage in WITH_SOUNDS and (sounds := read_sounds(data)):
        spectrograms = read_figure(data / "spectrograms.png", PHOTO_QUALITY)
        section = replace(section, sounds=sounds, spectrograms=spectrograms)
    return section
