"""Sections of `params.yaml` about densities of latents, and about what is measured by them."""

from typing import Annotated, Literal

from pydantic import Field

from mimi_dynamics.pipeline.sections.kinds import HeadName, WholeNumber
from mimi_dynamics.pipeline.settings import Count, Positive, Section


class LatentsParams(Section):
    """The coordinates in which latents are modelled."""

    dim: Count
    voiced_range_db: Positive


class ComputeParams(Section):
    """On which device models are trained, and with which number format."""

    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]
    compile: bool


PLAIN = ComputeParams(device="cpu", dtype="float32", compile=False)


class PredictParams(Section):
    """The probabilistic predictor and its controls."""

    heads: Annotated[list[HeadName], Field(min_length=1)]
    warmup_frames: Annotated[int, Field(ge=0)]
    var_order: Count
    lags: Count
    linear_order: Count
    context_frames: Annotated[Literal[0, 1, 2, 4, 8, 16, 32, 64], WholeNumber]
    width: Count
    components: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_frames: Count
    lr: Positive
    pretrain_epochs: Count
    epochs: Count
    min_steps: Count
    bootstrap_samples: Annotated[int, Field(ge=100)]


class ControlsParams(Section):
    """How much data to simulate from the processes whose true gain is known."""

    frames: Annotated[int, Field(ge=1000)]
    clip_frames: Annotated[int, Field(ge=20)]
    dim: Count


class ReconstructParams(Section):
    """How many clips to measure the codec on, and to fit the log-mel codec on."""

    clips: Count
    english_clips: Count
    fit_clips: Count
    listen_clips: Count


RowName = Literal[
    "untrained",
    "log_mel",
    "steps_400",
    "steps_1600",
    "leg_1",
    "leg_2",
    "lyra",
    "mimi",
    "mimi-mini",
    "pocket-tts",
    "read_codec",
    "read_lyra",
]


class CodecTableParams(Section):
    """Which rows the table by codec has beside that of the run's own codec."""

    rows: Annotated[
        list[RowName],
        Field(min_length=1),
    ]
    trainings: Count


class RolloutParams(Section):
    """How many free-running samples to draw, and from which frames they start."""

    samples: Annotated[int, Field(ge=2)]
    starts: Count
    stride_frames: Count
    prompt_frames: Count
    listen_clips: Count
    listen_samples: Count
    listen_prompt_frames: Count


class StructureParams(Section):
    """Which amounts of past and of capacity to try, to see how much a prediction needs."""

    contexts: Annotated[
        list[Annotated[Literal[1, 2, 4, 8, 16, 32, 64], WholeNumber]], Field(min_length=1)
    ]
    widths: Annotated[list[Count], Field(min_length=1)]
    listen_clips: Count


class CodesParams(Section):
    """How to train a small model of the codec's codes, with and without the past."""

    dim: Count
    width: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_frames: Count
    lr: Positive
    pretrain_epochs: Count
    epochs: Count


class RecurrenceParams(Section):
    """How to look up what came after similar moments."""

    neighbours: Annotated[int, Field(ge=2)]
    samples: Annotated[int, Field(ge=2)]
    lr: Positive
    epochs: Count
