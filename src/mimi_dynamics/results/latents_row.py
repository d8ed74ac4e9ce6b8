"""A row of results of latents that somebody measured with `mimi-dynamics measure`.

It holds what such a measurement found, and what it is true of: the codec and the speech as the one
who measured names them, a hash of the frames, the effort, the settings and the version.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from mimi_dynamics.pipeline.settings import Count, Name, Positive, Section, Share
from mimi_dynamics.results.row import SHORT, Finite, Gain, Sha256

KIND = "latents"
SLUG = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # a name that is part of one of a file

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
Slug = Annotated[str, StringConstraints(pattern=SLUG)]


class Named(Section):
    """Codec and speech, by the names that people know them by, and the hash of the weights."""

    codec: Slug
    corpus: Name
    weights_hash: Hash | None = None


class LatentsMeasured(Section):
    """The latents: a hash of the frames that were measured, and how many there are."""

    frames_sha256: Sha256
    clips: Count
    frames: Count
    dim: Count
    components: Count
    variance_kept: Annotated[float, Field(ge=0, le=1)]
    frame_rate: Positive | None = None
    groups: Count | None = None


class Horizon(Section):
    """The gains on one split, so many frames ahead."""

    frames: Count
    gain: Gain
    shuffled_gain: Gain
    dynamic_gain: Gain
    r2: Annotated[float, Field(le=1, allow_inf_nan=False)]
    smallest_gain_seen_nats_per_dim: Positive | None = None


class Control(Section):
    """A process with a known gain, and what was found of it."""

    true_nats_per_dim: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    found: Gain


class Density(Section):
    """The density: its head, and how many test frames lie in its regions."""

    head: Name
    region_50: Share
    region_90: Share
    rise_nats_per_dim: Finite


class LatentsRow(Section):
    """All that the file of such a row holds."""

    kind: Literal["latents"] = "latents"
    schema_version: Literal[1] = 1
    named: Named
    latents: LatentsMeasured
    version: Name
    effort: Literal["fast", "standard", "best"]
    seed: Annotated[int, Field(ge=0)]
    settings: dict[str, JsonValue]
    notes: list[Name]
    horizons: Annotated[dict[str, Horizon], Field(min_length=1)]
    test_voice: dict[str, Horizon] | None = None
    controls: Annotated[dict[str, Control], Field(min_length=2)]
    density: Density

    @property
    def file_name(self) -> str:
        """The name of its file: codec, hash of the frames, and effort."""
        return f"{self.named.codec}-{self.latents.frames_sha256[:SHORT]}-{self.effort}.json"

    @model_validator(mode="after")
    def _horizons_are_frames(self) -> Self:
        for horizons in (self.horizons, self.test_voice or {}):
            for k in horizons:
                if not (k.isascii() and k.isdigit() and int(k) > 0):
                    raise ValueError(f"horizons.{k}: must be a number of frames")
        if not any(control.true_nats_per_dim == 0 for control in self.controls.values()):
            raise ValueError("controls: one must have no gain")
        return self
