"""How many nats the past tells about the next latent: fitted densities and their scores."""

import copy
import zlib
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from mimi_dynamics.density.devices import on_device
from mimi_dynamics.density.halves import Centred, halves
from mimi_dynamics.density.mixture_var import MixtureVar, fit_mixture_var
from mimi_dynamics.density.predictor import Predictor, make_conditional, make_marginal
from mimi_dynamics.density.screening import evenly_chosen
from mimi_dynamics.density.switching_var import SwitchingVar, fit_switching_var
from mimi_dynamics.density.threshold_var import ThresholdVar, fit_threshold_var
from mimi_dynamics.density.training import (
    TrainingParams,
    fit,
    losses,
    repeats_for,
)
from mimi_dynamics.density.var import Var, fit_sparse_var, fit_var
from mimi_dynamics.latents.sequences import Batch, BatchSource, Sequences, in_memory
from mimi_dynamics.pipeline.conventions import EVALUATED_SPLITS
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, PredictParams

Batches = dict[str, list[Batch] | BatchSource]  # keyed by split; only train may be streamed
Density = Literal["conditional", "marginal", "delta_marginal"]
PAIR: tuple[Density, Density] = ("marginal", "conditional")
# These stand for densities without a network wherever a head is named.
LINEAR_BASELINE = "var"
SWITCHING = "switching_var"
THRESHOLD = "threshold_var"
MIXTURE = "mixture_var"
WITHOUT_NETWORK = (LINEAR_BASELINE, SWITCHING, THRESHOLD, MIXTURE)
# Those with a marginal of their own: without the past, thresholds are no more than the VAR.
WITH_MARGINAL = (LINEAR_BASELINE, SWITCHING, MIXTURE)


@dataclass(frozen=True)
class FitSpec:
    """One fit: the densities p(x_{t+k}) and p(x_{t+k} | x_{≤t}), or p(Δx) alone.

    Attributes:
        row: name of the data: `real`, or the name of a surrogate.
        sequences: the data of all splits.
        head: a key of `heads.HEADS`, or one of `WITHOUT_NETWORK`.
        horizon: the horizon k, in frames.
        params: settings of the predictor.
        seed: seed of the initial weights, the order of batches and dropout.
        delta: whether the target is Δx = x_{t+k} − x_t. Given the past, Δx is only x_{t+k} shifted
            by a known vector, so that only the marginal density is a new one.
        compute: the device and the number type of the training.
    """

    row: str
    sequences: Sequences
    head: str
    horizon: int
    params: PredictParams
    seed: int
    delta: bool = False
    compute: ComputeParams = PLAIN

    @property
    def first(self) -> int:
        """Give the index within a clip of the first frame that may be a target."""
        return max(self.horizon, self.params.warmup_frames)

    @property
    def known(self) -> int:
        """Give the number of frames that are known before the first target of a clip."""
        return self.first - self.horizon + 1


@dataclass(frozen=True)
class FittedDensity:
    """A fitted density and its scores on held-out frames.

    Attributes:
        predictor: the model, or None for densities without a network and for a stack of densities.
        nll: (scored,) negative log-likelihoods in nats per frame, keyed by split: validation and
            the evaluated ones.
        weights: of a stack, the weight of each density by name; see `density.stacking`.
        weighs: (scored,) bool, the frames of validation by which a stack is weighed; None = all.
    """

    predictor: Predictor | None
    nll: dict[str, np.ndarray]
    weights: dict[str, float] = field(default_factory=dict)
    weighs: np.ndarray | None = None

    @property
    def network(self) -> Predictor:
        """Give the model of a density that has one.

        Raises:
            TypeError: the density has no network.
        """
        if self.predictor is None:
            raise TypeError("this density has no network")
        return self.predictor

    @property
    def validation_nll(self) -> float:
        """Give the mean negative log-likelihood on validation, in nats per frame."""
        return float(self.nll["validation"].mean(dtype=np.float64))


def fit_densities(job: FitSpec) -> dict[Density, FittedDensity]:
    """Fit on train, keep the weights that are best on validation, and score the evaluated splits.

    First, a density without the past is trained for `pretrain_epochs`. Then two copies of it are
    trained for another `epochs`, one with and one without the past. They differ in nothing else,
    and the conditional density has to learn only what the past adds: trained from scratch, it ended
    0.03 nats/dim above the marginal on permuted frames. Where the past does not help, it still
    ends a little above it: `density.stacking` weighs the two.

    Args:
        job: what to fit.

    Returns:
        The fitted densities by name: `delta_marginal` alone if `job.delta`, otherwise `marginal`
        and `conditional`.

    Raises:
        InputError: if a frame is not finite, or if no clip of a split is longer than the horizon.
        DivergedError: if a training loss is not finite.
    """
    splits = ("train", "validation", *evaluated_splits(job.sequences))
    for split in splits:
        job.sequences.check_finite(split, job.row)
    batches = {split: batches_of(job, split) for split in splits}
    fitted = (_fit_without_network if job.head in WITHOUT_NETWORK else _fit_heads)(job, batches)
    _, weighs = halves(job.sequences, in_memory(batches["validation"]))
    fitted = [replace(density, weighs=weighs) for density in fitted]
    return {"delta_marginal": fitted[0]} if job.delta else dict(zip(PAIR, fitted, strict=True))


def _fit_without_network(job: FitSpec, batches: Batches) -> list[FittedDensity]:
    """Fit one of `WITHOUT_NETWORK`, of which the marginal is a Gaussian, or a mixture of them."""
    chooses, _ = halves(job.sequences, in_memory(batches["validation"]))
    centred: dict[str, list[Batch] | BatchSource | Centred] = {**batches}
    if not job.delta:
        mean = job.sequences.train_mean()
        centred = {split: Centred(of, mean) for split, of in batches.items()}
        chooses = list(Centred(chooses, mean))
    generator = torch.Generator().manual_seed(_seed(job))
    densities = [
        _without_network(job, centred["train"], chooses, order, generator)
        for order in ((0,) if job.delta else (0, job.params.lags))
    ]
    nll = [
        {
            split: -torch.cat([density.log_prob(batch) for batch in of]).numpy()
            for split, of in centred.items()
            if split != "train"
        }
        for density in densities
    ]
    return [FittedDensity(None, of_density) for of_density in nll]


def _without_network(
    job: FitSpec,
    train: list[Batch] | BatchSource | Centred,
    chooses: list[Batch],
    order: int,
    generator: torch.Generator,
) -> Var | SwitchingVar | ThresholdVar | MixtureVar:
    if job.head == MIXTURE:
        some = evenly_chosen(train), evenly_chosen(chooses)
        return fit_mixture_var(*some, job.known if order else 0)
    if job.head == SWITCHING:
        some, sticky = (evenly_chosen(train), evenly_chosen(chooses)), job.sequences.targets is None
        return fit_switching_var(*some, order, job.horizon, job.known, generator, sticky=sticky)
    if job.head == THRESHOLD and order:
        return fit_threshold_var(evenly_chosen(train), evenly_chosen(chooses), job.known, generator)
    return fit_sparse_var(train, chooses, order, job.known)


def _seed(job: FitSpec) -> int:
    return zlib.crc32(f"{job.seed} {job.row} {job.head} {job.delta}".encode())


def _fit_heads(job: FitSpec, batches: Batches) -> list[FittedDensity]:
    seed = _seed(job)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    params, validation = job.params, in_memory(batches["validation"])

    repeats = repeats_for(params.min_steps, params.epochs, len(batches["train"]))

    def train(predictor: Predictor, epochs: int, *, anneal: bool) -> Predictor:
        training = TrainingParams(params.lr, repeats * epochs, anneal, job.compute)
        fit(predictor, batches["train"], validation, training, generator)
        return predictor

    gaussian = fit_var(batches["train"], validation, 0)
    start = make_marginal(gaussian, job.head, params.width, params.components)
    train(start, params.pretrain_epochs, anneal=False)
    marginal = _score(job, train(copy.deepcopy(start), params.epochs, anneal=True), batches)
    if job.delta:
        return [marginal]
    order = min(params.var_order, params.context_frames or params.var_order)
    var = fit_var(batches["train"], validation, order)
    trunk = var, params.width, params.dropout, params.context_frames
    conditional = train(make_conditional(start, *trunk), params.epochs, anneal=True)
    return [marginal, _score(job, conditional, batches)]


def _score(job: FitSpec, predictor: Predictor, batches: Batches) -> FittedDensity:
    held_out = {split: in_memory(of) for split, of in batches.items() if split != "train"}
    with on_device(predictor, job.compute):
        nll = {split: losses(predictor, of).cpu().numpy() for split, of in held_out.items()}
    return FittedDensity(predictor, nll)


def batches_of(job: FitSpec, split: str) -> list[Batch] | BatchSource:
    """Give the batches of one split, with the targets that this fit predicts."""
    size = job.params.warmup_frames, job.params.batch_frames
    return job.sequences.batches(split, job.horizon, *size, delta=job.delta)


def evaluated_splits(sequences: Sequences) -> list[str]:
    """List the splits to score: `test`, and `test_voice` if a voice is held out."""
    return [split for split in EVALUATED_SPLITS if split in sequences.splits]


def check_horizon(job: FitSpec) -> None:
    """Fail before any training if the horizon is too long for the clips of any split.

    Raises:
        InputError: naming the horizon and the longest clip.
    """
    for split in ("train", "validation", *evaluated_splits(job.sequences)):
        batches_of(job, split)
