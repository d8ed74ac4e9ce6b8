"""The model of `params.yaml`: every setting, with its type and allowed range.

`load_params` checks the whole file, so the first stage already stops at a typo in the section of a
later stage. The comments in `params.yaml` explain each setting; its sections are in `sections/`.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.sections.codec import (
    HF_PREFIX,
    CodecName,
    CodecParams,
    EncodeParams,
    HfParams,
    LegParams,
    LyraParams,
    MimiParams,
    MiniParams,
    PocketParams,
)
from mimi_dynamics.pipeline.sections.kinds import (
    NO_SOURCE,
    OWN_LATENTS,
    CorpusName,
    Engine,
    HeadName,
    StateKind,
)
from mimi_dynamics.pipeline.sections.measures import (
    PLAIN,
    CodecTableParams,
    CodesParams,
    ComputeParams,
    ControlsParams,
    LatentsParams,
    PredictParams,
    ReconstructParams,
    RecurrenceParams,
    RolloutParams,
    StructureParams,
)
from mimi_dynamics.pipeline.sections.models import (
    Bet1StudyParams,
    Bet2StudyParams,
    Bet3StudyParams,
    Bet4OtherParams,
    Bet4StudyParams,
    CalmParams,
    CalmStudyParams,
    EngramParams,
    RankingStudyParams,
    RssmParams,
    RssmSlowParams,
    RssmSweepParams,
)
from mimi_dynamics.pipeline.sections.speech import VOICE_IN_PATTERN, IngestParams, SplitParams
from mimi_dynamics.pipeline.settings import Count, Positive, Section, load_settings

# The rest of the code has sections from here, and need not know in which module each is.
__all__ = [
    "HF_PREFIX",
    "NO_SOURCE",
    "OWN_LATENTS",
    "PARAMS_FILE",
    "PLAIN",
    "VOICE_IN_PATTERN",
    "Bet1StudyParams",
    "Bet2StudyParams",
    "Bet3StudyParams",
    "Bet4OtherParams",
    "Bet4StudyParams",
    "CalmParams",
    "CalmStudyParams",
    "CodecName",
    "CodecParams",
    "CodecTableParams",
    "CodesParams",
    "ComputeParams",
    "ControlsParams",
    "CorpusName",
    "EncodeParams",
    "Engine",
    "EngramParams",
    "HeadName",
    "HfParams",
    "IngestParams",
    "LatentsParams",
    "LegParams",
    "LyraParams",
    "MimiParams",
    "MiniParams",
    "Params",
    "PocketParams",
    "PredictParams",
    "RankingStudyParams",
    "ReconstructParams",
    "RecurrenceParams",
    "RolloutParams",
    "RssmParams",
    "RssmSlowParams",
    "RssmSweepParams",
    "SplitParams",
    "StateKind",
    "StructureParams",
    "load_params",
]

PARAMS_FILE = Path("params.yaml")
LEFT_BEHIND = "; if an earlier `dvc exp run -S` left that behind, `git restore params.yaml`"


def _with_next_frame(horizons: list[int]) -> list[int]:
    """Check that predictors of the next frame are trained, which other stages and a bet read."""
    if NEXT_FRAME not in horizons:
        raise ValueError(
            f"{horizons!s:.60}: must have {NEXT_FRAME}, the step of rollouts, which recurrence, "
            "calm and a rule of bets.yaml read too"
        )
    return horizons


class Params(Section):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0)]
    horizon: Count
    horizons: Annotated[list[Count], Field(min_length=1), AfterValidator(_with_next_frame)]
    trainings: Annotated[int, Field(ge=2)]
    head: HeadName
    compute: ComputeParams
    memory_gib: Positive
    ingest: IngestParams
    codec: CodecParams
    encode: EncodeParams
    reconstruct: ReconstructParams
    latents: LatentsParams
    predict: PredictParams
    controls: ControlsParams
    structure: StructureParams
    codec_table: CodecTableParams
    rollout: RolloutParams
    codes: CodesParams
    recurrence: RecurrenceParams
    rssm: RssmParams
    rssm_sweep: RssmSweepParams
    rssm_slow: RssmSlowParams
    bet1_study: Bet1StudyParams
    bet2_study: Bet2StudyParams
    engram: EngramParams
    bet3_study: Bet3StudyParams
    calm: CalmParams
    calm_study: CalmStudyParams
    bet4_study: Bet4StudyParams
    bet4_other: Bet4OtherParams
    ranking_study: RankingStudyParams


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the whole of `params.yaml`.

    Raises:
        InputError: the file is not usable. The message names, in one line, the file, the key, its
            value and what is allowed.
    """
    return load_settings(path, Params, LEFT_BEHIND)
