"""A row of results of a codec that the pipeline measured: what it holds, and what it looks like.

It says of one codec how predictable its latents are one frame ahead, and what that is true of: the
weights, the speech, the settings, and the commit of this repository. Gains are in nats per
dimension and in bits per second; rates are per second.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from mimi_dynamics.pipeline.settings import Count, Name, Positive, Section, Share
from mimi_dynamics.report.formatting import cell, percent
from mimi_dynamics.report.metrics_file import has, measured

SHORT = 8  # digits of a hash in the name of a file
LINES = {  # of the table that a row is shown as, by the name of the gain
    "gain": "gain",
    "dynamic_gain": "beyond shuffled frames",
    "spliced_dynamic_gain": "the same, of spliced speech",
    "speech_borne_gain": "carried by speech",
}
TITLE = "nats per dimension, a frame ahead"
COLUMN = 26  # width of a gain with its interval

Finite = Annotated[float, Field(allow_inf_nan=False)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class CodecMeasured(Section):
    """The codec. It has a revision if, and only if, its weights are those that were published."""

    name: Name
    weights_sha256: Sha256
    weights_published: bool
    revision: Name | None = None
    frame_rate: Positive
    bits_per_s: Positive | None = None

    @model_validator(mode="after")
    def _published_means_revision(self) -> Self:
        if self.weights_published != (self.revision is not None):
            raise ValueError("weights_published: must be true just where there is a revision")
        return self


class Latents(Section):
    """Dimensions of the latents, of the components that are kept, and what these hold of train."""

    dim: Count
    components: Count
    variance_kept: Share


class Corpus(Section):
    """The speech: names of its corpora with commas, and a hash of clips, voices and splits."""

    names: Name
    clips: Count
    hours: Positive
    clips_sha256: Sha256


class Project(Section):
    """What measured the row."""

    version: Name
    commit: Commit


class Gain(Section):
    """A gain in nats per dimension with its 95 % interval, and in bits per second if known."""

    nats_per_dim: Finite
    nats_per_dim_ci_low: Finite
    nats_per_dim_ci_high: Finite
    bits_per_s: Finite | None = None


class Gains(Section):
    """The gains on one split, and how many frames they are means over.

    There is no speech-borne gain of a codec that hears ahead, or where no clip has another one of
    its voice.
    """

    frames: Count
    gain: Gain
    dynamic_gain: Gain
    speech_borne_gain: Gain | None = None
    spliced_dynamic_gain: Gain


class Row(Section):
    """All that the file of a codec holds; without `test_voice` where no voice was held out."""

    schema_version: Literal[1] = 1
    codec: CodecMeasured
    latents: Latents
    corpus: Corpus
    project: Project
    settings: dict[str, JsonValue]
    test: Gains
    test_voice: Gains | None = None

    @property
    def file_name(self) -> str:
        """The name of its file: codec, weights and clips."""
        hashes = self.codec.weights_sha256[:SHORT], self.corpus.clips_sha256[:SHORT]
        return f"{'-'.join((self.codec.name, *hashes))}.json"


def as_text(row: Row) -> str:
    """Show a row: what was measured, and then the gains on each split with their intervals."""
    codec, latents, corpus = row.codec, row.latents, row.corpus
    rate = f", {codec.bits_per_s:g} bits/s" if codec.bits_per_s else ""
    splits = {"test": row.test, "held-out voice": row.test_voice}
    found = {name: gains.model_dump(exclude_none=True) for name, gains in splits.items() if gains}
    width = len(TITLE) + 2
    lines = [
        f"{codec.name}: {weights_in_words(codec.weights_sha256, codec.revision)}",
        f"{codec.frame_rate:g} latents a second of {latents.dim} dimensions{rate}; "
        f"{latents.components} components keep {percent(latents.variance_kept)} of the variance",
        f"{corpus.names}: {corpus.clips} clips, {corpus.hours:.2f} hours",
        "",
        TITLE.ljust(width) + "".join(name.ljust(COLUMN) for name in found).rstrip(),
    ]
    for key, label in LINES.items():
        numbers = (
            cell(measured(gains, f"{key}.nats_per_dim")) if has(gains, key) else "–"
            for gains in found.values()
        )
        lines.append(label.ljust(width) + "".join(of.ljust(COLUMN) for of in numbers).rstrip())
    return "\n".join(lines)


def weights_in_words(sha256: str, revision: str | None) -> str:
    """Say whose weights they are.

    Args:
        sha256: their hash.
        revision: where they were published, None for any others.
    """
    if revision is None:
        return f"weights {sha256}, which are not the published ones"
    return f"the published weights, {revision}"
