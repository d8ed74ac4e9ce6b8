"""The model of `params.yaml`: every setting, with its type and allowed range.

`load_params` checks the whole file, so the first stage already stops at a typo in the section of a
later stage. The comments in `params.yaml` explain each setting.
"""

import unicodedata
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.settings import Count, Name, Positive, Section, Share, load_settings

PARAMS_FILE = Path("params.yaml")

CodecName = Literal["mimi-mini", "mimi", "lyra"]
HF_PREFIX = "hf:"  # and then a repository of the Hugging Face hub, or a folder
CorpusName = Literal["asterisk", "librispeech", "kathleen", "kerstin", "folder"]
Engine = Literal["local", "ray"]
# A folder or file that is a dependency of stages. DVC needs one that exists, so the default is a
# file in git. To the code, no path is ''.
NO_SOURCE = "sources/none"
Source = Annotated[str, AfterValidator(lambda path: "" if path == NO_SOURCE else path)]
VOICE_IN_PATTERN = "{voice}"
HeadName = Literal["gaussian", "mdn", "autoregressive", "flow"]


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


def _known_codec(name: str) -> str:
    if name in get_args(CodecName) or (name.startswith(HF_PREFIX) and name != HF_PREFIX):
        return name
    known = ", ".join(get_args(CodecName))
    raise ValueError(f"{name!r:.200}: must be one of {known}, {HF_PREFIX}<repository or folder>")


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {value}")
    return value


WholeNumber = BeforeValidator(_no_truth_value)  # Without it, Literal would accept True as 1.


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


class IngestParams(Section):
    """Which speech to use, how to split it, and on which machines to convert it."""

    corpora: Annotated[list[CorpusName], Field(min_length=1)]
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


class MimiParams(Section):
    """Where Kyutai's checkpoint is, and how many of its codebooks to use."""

    weights: Source
    codebooks: Annotated[int, Field(ge=1, le=32)]


class LyraParams(Section):
    """Where the files of Lyra V2 are, its bit rate, and how many of its frames make a latent."""

    weights: Source
    stages: Annotated[int, Field(ge=1, le=46)]
    frames_per_step: Count


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

    name: Annotated[str, AfterValidator(_known_codec)]
    mimi: MimiParams
    lyra: LyraParams
    hf: HfParams
    mini: MiniParams


class EncodeParams(Section):
    """How audio passes through the codec, and on which machines."""

    batch_seconds: Positive
    dtype: Literal["float32", "bfloat16"]
    engine: Engine


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


class CodecTableParams(Section):
    """Which rows the table by codec has beside that of the run's own codec."""

    rows: Annotated[
        list[Literal["untrained", "log_mel", "leg_1", "leg_2", "lyra", "mimi", "mimi-mini"]],
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


class RssmSweepParams(Section):
    """Which models to train: one for each pair of a size of z_dyn and a budget."""

    state_dims: Annotated[list[Count], Field(min_length=1)]
    budgets: Annotated[list[Positive], Field(min_length=1)]

    @model_validator(mode="after")
    def _no_model_twice(self) -> "RssmSweepParams":
        for name in ("state_dims", "budgets"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} = {values}: must not have a value twice")
        return self


class Bet2StudyParams(RssmSweepParams):
    """The states to choose among, and how often the chosen one is trained."""

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
    doublings: Count
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
    """How often to train each model in the study of CALM's stabilisers, sizes and data."""

    seeds: Count


class Bet4StudyParams(Section):
    """How often to train each contender of bet 4, and from where to score it."""

    seeds: Annotated[int, Field(ge=2)]
    starts: Count
    stride_frames: Count


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
    bet2_study: Bet2StudyParams
    engram: EngramParams
    bet3_study: Bet3StudyParams
    calm: CalmParams
    calm_study: CalmStudyParams
    bet4_study: Bet4StudyParams


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the whole of `params.yaml`.

    Raises:
        InputError: the file is not usable. The message names, in one line, the file, the key, its
            value and what is allowed.
    """
    return load_settings(path, Params)
