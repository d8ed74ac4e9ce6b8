"""Sections of `params.yaml` about speech: which recordings become which clips."""

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mimi_dynamics.pipeline.sections.kinds import (
    NO_SOURCE,
    OWN_LATENTS,
    Engine,
    Source,
    SourceName,
)
from mimi_dynamics.pipeline.settings import Name, Positive, Section, Share

VOICE_IN_PATTERN = "{voice}"


def _voice(name: object) -> str:
    """Give a voice's name as corpora have it, with its accents as part of their letters (NFC).

    Voices of LibriSpeech are numbers, and `-S 'ingest.test_voices=[84]'` gives an int.
    """
    if not isinstance(name, str) and type(name) is not int:
        raise ValueError(
            f"{name!r:.60} is no text: must be in double quotes, as in "
            '-S \'ingest.test_voices=["0011","no"]\''
        )
    return unicodedata.normalize("NFC", str(name))


Voice = Annotated[Name, BeforeValidator(_voice)]


def _pattern(pattern: str) -> str:
    if pattern and pattern.count(VOICE_IN_PATTERN) != 1:
        raise ValueError(
            f"{pattern!r:.200}: must have {VOICE_IN_PATTERN} in it once, as in "
            f"'*/{VOICE_IN_PATTERN}/*' (docs/how_to/own_audio.md)"
        )
    return pattern


class SplitParams(Section):
    """How large a share of the recordings goes to each split, apart from held-out voices."""

    train: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _sums_to_one(self) -> "SplitParams":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test = {total:g}: must sum to 1")
        for name in ("train", "validation", "test"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} = 0: every split needs a share greater than 0")
        return self


class AsteriskParams(Section):
    """Which Asterisk prompt sets to use."""

    languages: Annotated[list[Literal["en", "es", "fr", "it", "ru"]], Field(min_length=1)]


class LibriSpeechParams(Section):
    """Which OpenSLR 12 archives to use."""

    subsets: Annotated[
        list[
            Literal[
                "dev-clean",
                "dev-other",
                "test-clean",
                "test-other",
                "train-clean-100",
                "train-clean-360",
                "train-other-500",
            ]
        ],
        Field(min_length=1),
    ]


class FolderParams(Section):
    """A directory of the user's own audio."""

    path: Source


class OwnLatentsParams(Section):
    """Latents of the user's own, without audio, and how many of them a second has."""

    path: Source
    frame_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class IngestParams(Section):
    """Which speech to use, how to split it, and on which machines to convert it."""

    corpora: Annotated[list[SourceName], Field(min_length=1)]
    mirror: Source
    mirror_url: str
    min_seconds: Positive
    max_seconds: Positive
    cut_long: bool
    test_voices: list[Voice]
    keep_copies: bool
    splits: SplitParams
    asterisk: AsteriskParams
    librispeech: LibriSpeechParams
    folder: FolderParams
    latents: OwnLatentsParams
    voice_pattern: Annotated[str, AfterValidator(_pattern)]
    voice_table: Source
    engine: Engine

    @model_validator(mode="after")
    def _consistent(self) -> "IngestParams":
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds = {self.min_seconds:g}: must be below max_seconds")
        if "folder" in self.corpora and not self.folder.path:
            raise ValueError(
                f"folder.path = {NO_SOURCE!r}: must name a directory when corpora has 'folder'"
            )
        if OWN_LATENTS in self.corpora and set(self.corpora) != {OWN_LATENTS}:
            raise ValueError(
                f"corpora = {self.corpora}: {OWN_LATENTS!r} must be alone: it has no audio"
            )
        if OWN_LATENTS in self.corpora and not self.latents.path:
            raise ValueError(
                f"latents.path = {NO_SOURCE!r}: must name a folder or file when corpora has "
                f"{OWN_LATENTS!r}"
            )
        if "://" in self.mirror:
            raise ValueError(f"mirror = {self.mirror!r:.200}: must be a folder; use mirror_url")
        if self.mirror_url and "://" not in self.mirror_url:
            raise ValueError(
                f"mirror_url = {self.mirror_url!r:.200}: must be an address; use mirror"
            )
        if self.mirror and self.mirror_url:
            raise ValueError("mirror and mirror_url: must not both be set")
        return self

    @property
    def archives(self) -> str:
        """The folder or address that holds the corpora; '' for their public homes."""
        return self.mirror or self.mirror_url
