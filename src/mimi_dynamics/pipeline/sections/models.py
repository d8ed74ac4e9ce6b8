"""Sections of `params.yaml` about the factorisation, the memory, CALM, and studies of bets."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from mimi_dynamics.pipeline.sections.codec import AnyCodec
from mimi_dynamics.pipeline.sections.kinds import HeadName, StateKind
from mimi_dynamics.pipeline.settings import Count, Positive, Section, Share


class RssmSweepParams(Section):
    """Which models to train: one for each pair of a size of z_dyn and a budget."""

    state_dims: Annotated[list[Count], Field(min_length=1)]
    budgets: Annotated[list[Positive], Field(min_length=1)]

    @model_validator(mode="after")
    def _no_model_twice(self) -> "RssmSweepParams":
        for name in ("kinds", "state_dims", "budgets"):
            values = getattr(self, name, [])
            if len(set(values)) < len(values):
                raise ValueError(f"{name} = {values}: must not have a value twice")
        return self


class Bet1StudyParams(Section):
    """How many corpora without anything to find are measured, and how."""

    corpora: Count
    every: Count
    width: Count
    trainings: Count


class RankingStudyParams(Section):
    """The sets of latents to rank, and the generator that is trained on each of them."""

    sets: Annotated[list[str], Field(min_length=1)]
    parameters: Count
    epochs: Count
    trainings: Count
    starts: Count
    samples: Annotated[Count, Field(ge=2)]
    width: Count


class Bet2StudyParams(RssmSweepParams):
    """The states to choose among, and how often the chosen one is trained."""

    kinds: Annotated[list[StateKind], Field(min_length=1)]
    state_dims: Annotated[list[Annotated[Count, Field(multiple_of=4)]], Field(min_length=1)]
    trainings: Annotated[Count, Field(ge=2)]


class RssmSlowParams(RssmSweepParams):
    """Which models to train if the state may be updated less often than every frame."""

    state_stride: Count


class RssmParams(RssmSlowParams):
    """How to split latents into an easy state and a local innovation."""

    rec_dim: Count
    width: Count
    head: HeadName
    components: Count
    dynamics_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    prior_share: Share
    rollout_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    rollout_updates: Count
    batch_frames: Count
    lr: Positive
    epochs: Count
    estimator_width: Count
    long_lead: Annotated[int, Field(ge=2)]


class EngramParams(Section):
    """How to train a lookup memory beside the trunk, and the controls it is compared with."""

    keys: Literal["kmeans", "product", "codebook"]
    cells: Annotated[int, Field(ge=2)]
    least_count: Count
    key_noise: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    heads: Count
    rows: Annotated[int, Field(ge=2)]
    row_dim: Count
    table_lr: Positive
    head: HeadName
    width: Annotated[int, Field(ge=4)]
    lr: Positive
    epochs: Count
    seeds: Count


class EngramSweepParams(Section):
    """Settings of `engram` to choose from, one after the other in this order."""

    heads: Annotated[list[Count], Field(min_length=1)]
    row_dim: Annotated[list[Count], Field(min_length=1)]
    rows: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    table_lr: Annotated[list[Positive], Field(min_length=1)]
    cells: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    keys: Annotated[list[Literal["kmeans", "product", "codebook"]], Field(min_length=1)]
    epochs: Annotated[list[Count], Field(min_length=1)]


class Bet3StudyParams(Section):
    """How the study plants motifs, chooses settings by them, and trains on real data."""

    width: Annotated[int, Field(ge=4)]
    seeds: Annotated[int, Field(ge=3)]
    doublings: Annotated[int, Field(ge=3)]
    plantings: Count
    learnable_nats: Annotated[list[Positive], Field(min_length=1)]
    sweep_nats: Positive
    sweep_width: Annotated[int, Field(ge=4)]
    sweep: EngramSweepParams


class CalmParams(Section):
    """How to train a small CALM and the dynamics it is compared with."""

    head: Literal["consistency", "flow_matching", "lsd"]
    seeds: Count
    layers: Count
    context_frames: Count
    head_depth: Count
    head_batch: Count
    sampling_steps: Count
    temperatures: Annotated[list[Positive], Field(min_length=1)]
    batch_frames: Count
    lr: Positive
    epochs: Count
    dynamics_width: Count

    @model_validator(mode="after")
    def _enough_steps(self) -> "CalmParams":
        if self.head == "flow_matching" and self.sampling_steps == 1:
            raise ValueError(
                "sampling_steps = 1: must be 2 or more for head = 'flow_matching', "
                "one step of which draws the mean"
            )
        return self


class CalmStudyParams(Section):
    """How often to train unchanged models in the study of CALM's stabilisers, sizes and data."""

    seeds: Annotated[int, Field(ge=2)]


class Bet4StudyParams(Section):
    """How often to train each contender of bet 4, and from where to score it."""

    seeds: Annotated[int, Field(ge=2)]
    starts: Count
    stride_frames: Count


class Bet4OtherParams(Section):
    """Which other codec's latents to repeat the study of bet 4 on."""

    codec: AnyCodec
