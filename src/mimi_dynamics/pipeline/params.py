"""The one model of `params.yaml`: every setting, its type and its allowed range.

`load_params` checks the whole file, so a typo in a later stage's section stops the first stage.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mimi_dynamics.pipeline.errors import InputError

LONGEST_SHOWN = 200  # characters of a wrong value
PARAMS_FILE = Path("params.yaml")

CodecName = Literal["mimi-mini", "mimi"]
CorpusName = Literal["asterisk", "librispeech", "kathleen", "kerstin", "folder"]
Engine = Literal["local", "ray"]
HeadName = Literal["gaussian", "mdn", "autoregressive", "flow"]
Name = Annotated[str, StringConstraints(min_length=1)]
# LibriSpeech calls its voices by number, and `-S 'ingest.test_voices=[84]'` arrives as one.
Voice = Annotated[Name, BeforeValidator(lambda name: str(name) if type(name) is int else name)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, not {value}")
    return value


WholeNumber = BeforeValidator(_no_truth_value)  # Literal takes True for 1


class Section(BaseModel):
    """A block of settings: unknown keys, strings for numbers and floats for counts are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


SomeSection = TypeVar("SomeSection", bound=Section)


class SplitParams(Section):
    """Shares of the recordings of all voices that are not held out."""

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
    """Which of the Asterisk prompt sets to use."""

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

    path: str


class IngestParams(Section):
    """What speech to use, how to split it, and on what machines it is converted."""

    corpora: Annotated[list[CorpusName], Field(min_length=1)]
    mirror: str
    min_seconds: Positive
    max_seconds: Positive
    test_voices: list[Voice]
    splits: SplitParams
    asterisk: AsteriskParams
    librispeech: LibriSpeechParams
    folder: FolderParams
    engine: Engine

    @model_validator(mode="after")
    def _consistent(self) -> "IngestParams":
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds = {self.min_seconds:g}: must be below max_seconds")
        if "folder" in self.corpora and not self.folder.path:
            raise ValueError("folder.path = '': must name a directory when corpora has 'folder'")
        return self


class MimiParams(Section):
    """Kyutai's checkpoint."""

    weights: str
    codebooks: Annotated[int, Field(ge=1, le=32)]


class MiniParams(Section):
    """Shape and training of mimi-mini."""

    seed: Annotated[int, Field(ge=0)]
    corpora: Annotated[list[CorpusName], Field(min_length=1)]
    filters: Annotated[int, Field(ge=2, multiple_of=2)]
    dim: Annotated[int, Field(ge=32, multiple_of=32)]
    layers: Count
    codebooks: Annotated[int, Field(ge=2, le=32)]
    bins: Annotated[int, Field(ge=2, le=32768)]
    steps: Count
    batch_clips: Count
    clip_frames: Count
    lr: Positive


class CodecParams(Section):
    """Which codec turns speech into latents."""

    name: CodecName
    mimi: MimiParams
    mini: MiniParams


class EncodeParams(Section):
    """How audio passes through the codec, and on what machines."""

    batch_seconds: Positive
    dtype: Literal["float32", "bfloat16"]
    engine: Engine


class LatentsParams(Section):
    """The coordinates in which latents are modelled."""

    dim: Count
    voiced_range_db: Positive


class ComputeParams(Section):
    """Where models are trained, and with what numbers."""

    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]
    compile: bool


PLAIN = ComputeParams(device="cpu", dtype="float32", compile=False)


class PredictParams(Section):
    """The probabilistic predictor and its controls."""

    heads: Annotated[list[HeadName], Field(min_length=1)]
    warmup_frames: Annotated[int, Field(ge=0)]
    var_order: Count
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
    """Size of the processes with known answers."""

    frames: Annotated[int, Field(ge=1000)]
    clip_frames: Annotated[int, Field(ge=20)]
    dim: Count


class ReconstructParams(Section):
    """How many clips the codec is measured on, and fitted beside."""

    clips: Count
    english_clips: Count
    fit_clips: Count
    listen_clips: Count


class EncodersParams(Section):
    """How capable the predictor is by which encoders are compared."""

    width: Count


class RolloutParams(Section):
    """Free-running samples: how many, from where."""

    samples: Annotated[int, Field(ge=2)]
    starts: Count
    stride_frames: Count
    prompt_frames: Count
    listen_clips: Count
    listen_samples: Count
    listen_prompt_frames: Count


class StructureParams(Section):
    """How much past and how much capacity a prediction needs, and where its gain lives."""

    contexts: Annotated[
        list[Annotated[Literal[1, 2, 4, 8, 16, 32, 64], WholeNumber]], Field(min_length=1)
    ]
    widths: Annotated[list[Count], Field(min_length=1)]
    listen_clips: Count


class RecurrenceParams(Section):
    """Looking up what came after similar moments."""

    neighbours: Annotated[int, Field(ge=2)]
    samples: Annotated[int, Field(ge=2)]
    lr: Positive
    epochs: Count


class RssmSweepParams(Section):
    """Models to be trained: every size of z_dyn with every budget."""

    state_dims: Annotated[list[Count], Field(min_length=1)]
    budgets: Annotated[list[Positive], Field(min_length=1)]

    @model_validator(mode="after")
    def _no_model_twice(self) -> "RssmSweepParams":
        for name in ("state_dims", "budgets"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} = {values}: must not have a value twice")
        return self


class RssmSlowParams(RssmSweepParams):
    """The same with a state that is updated more rarely than every frame."""

    state_stride: Count


class RssmParams(RssmSlowParams):
    """The factorisation of latents into an easy state and a local innovation."""

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
    """A lookup memory beside the trunk, and what it is held against."""

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


class EngramStudyParams(Section):
    """The same with more trainings, and with more and more of the parameters in tables."""

    seeds: Count
    table_shares: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1)]


class CalmParams(Section):
    """A small CALM, and what it is compared with."""

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
    """CALM and ours without each of their stabilisers, at several sizes, on less data."""

    seeds: Count


class Params(Section):
    """All of `params.yaml`."""

    seed: Annotated[int, Field(ge=0)]
    horizon: Count
    horizons: Annotated[list[Count], Field(min_length=1)]
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
    encoders: EncodersParams
    rollout: RolloutParams
    recurrence: RecurrenceParams
    rssm: RssmParams
    rssm_sweep: RssmSweepParams
    rssm_slow: RssmSlowParams
    engram: EngramParams
    engram_study: EngramStudyParams
    calm: CalmParams
    calm_study: CalmStudyParams


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the whole of `params.yaml`.

    Raises:
        InputError: one line naming the file, the key, its value and what is allowed.
    """
    return load_settings(path, Params)


def load_settings(path: Path, model: type[SomeSection]) -> SomeSection:
    """Read a file of settings and check it as a whole against its model.

    YAML 1.2 rules: DVC writes 0.00001 as 1e-05, which YAML 1.1 readers take for a string.

    Raises:
        InputError: one line naming the file, the key, its value and what is allowed.
    """
    try:
        settings = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: not found; run from the repository's top folder") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    try:
        return check_settings(settings, model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_settings(settings: object, model: type[SomeSection]) -> SomeSection:
    """Check settings, as they were read, as a whole against their model.

    Raises:
        InputError: one line naming the key, its value and what is allowed.
    """
    if not isinstance(settings, dict):
        raise InputError(f"must hold settings by name, not {type(settings).__name__}")
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise InputError(_first_problem(error)) from error


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"]) or "settings"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        problem = f"{key}: unknown setting"
    elif first["type"] == "missing":
        problem = f"{key}: missing"
    elif first["type"] == "value_error":
        problem = f"{key}: {message}"
    else:
        problem = f"{key} = {_shown(first['input'])}: {message[0].lower()}{message[1:]}"
    more = len(problems) - 1
    return problem + (f" (and {more} more)" if more else "")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
