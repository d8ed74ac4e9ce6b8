"""Sections of `params.yaml` about codecs, and about the encoding of clips."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from mimi_dynamics.pipeline.sections.kinds import CorpusName, Engine, Source
from mimi_dynamics.pipeline.settings import Count, Name, Positive, Section

CodecName = Literal["mimi-mini", "mimi", "lyra", "pocket-tts"]
HF_PREFIX = "hf:"  # and then a repository of the Hugging Face hub, or a folder


def _known_codec(name: str) -> str:
    if name in get_args(CodecName) or (name.startswith(HF_PREFIX) and name != HF_PREFIX):
        return name
    known = ", ".join(get_args(CodecName))
    raise ValueError(f"{name!r:.200}: must be one of {known}, {HF_PREFIX}<repository or folder>")


AnyCodec = Annotated[str, AfterValidator(_known_codec)]


class MimiParams(Section):
    """Where Kyutai's checkpoint is, and how many of its codebooks to use."""

    weights: Source
    codebooks: Annotated[int, Field(ge=1, le=32)]


class LyraParams(Section):
    """Where the files of Lyra V2 are, its bit rate, and how many of its frames make a latent."""

    weights: Source
    stages: Annotated[int, Field(ge=1, le=46)]
    frames_per_step: Count


class PocketParams(Section):
    """Where the weights of Pocket TTS are, and which of its models they are of."""

    weights: Source
    config: Name


class HfParams(Section):
    """Which revision of a repository to take, and how many codebooks and frames make a latent."""

    revision: Name
    codebooks: Annotated[int, Field(ge=0)]
    frames_per_step: Annotated[int, Field(ge=0)]


class LegParams(Section):
    """One training of mimi-mini, which goes on from where the one before it ended."""

    seed: Annotated[int, Field(ge=0)]
    steps: Count
    batch_clips: Count
    lr: Positive
    average: Annotated[float, Field(ge=0, lt=1)]


class MiniParams(Section):
    """The shape and the trainings of mimi-mini."""

    corpora: Annotated[list[CorpusName], Field(min_length=1)]
    filters: Annotated[int, Field(ge=2, multiple_of=2)]
    dim: Annotated[int, Field(ge=32, multiple_of=32)]
    layers: Count
    codebooks: Annotated[int, Field(ge=2, le=32)]
    bins: Annotated[int, Field(ge=2, le=32768)]
    clip_frames: Count
    legs: Annotated[list[LegParams], Field(min_length=1)]


class CodecParams(Section):
    """Which codec turns speech into latents."""

    name: AnyCodec
    mimi: MimiParams
    lyra: LyraParams
    pocket_tts: PocketParams
    hf: HfParams
    mini: MiniParams


class EncodeParams(Section):
    """How audio passes through the codec, and on which machines."""

    batch_seconds: Positive
    dtype: Literal["float32", "bfloat16"]
    engine: Engine
