"""What is measured of a set of latents without generating: the gains of bet 1, and their rivals."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mimi_dynamics.density.devices import uncompiled
from mimi_dynamics.density.predictor import Predictor
from mimi_dynamics.density.training import TrainingParams, fit
from mimi_dynamics.density.var import squared_errors
from mimi_dynamics.evidence.surrogates import permute
from mimi_dynamics.latents.sequences import Batch, Sequences, in_memory
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.devices import draws_of
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.quality.components import component_effects
from mimi_dynamics.studies.calm.comparison import linear_model
from mimi_dynamics.studies.calm.model import EVALUATION_SEED, head_of, make_calm, matched, moments
from mimi_dynamics.studies.calm.training import enough_epochs, seed_of
from mimi_dynamics.studies.codec_row.gains import fit_leads, measure
from mimi_dynamics.studies.codec_row.measures import autocorrelation
from mimi_dynamics.studies.codec_row.subjects import Subject
from mimi_dynamics.studies.ranking.generating import calm_job, generator_params, in_steps
from mimi_dynamics.studies.ranking.places import Places
from mimi_dynamics.studies.ranking.sets import RankedSet

VELOCITY = "flow_matching"
GAIN_PARTS = 3  # one clip of train in so many; with all of them a set would take 5 minutes more
EFFECT_CLIPS = 4  # decoded to find what each component does to the sound


class Measure(NamedTuple):
    """A measure that may rank latents.

    Attributes:
        label: what figures and tables call it.
        sign: 1 if more of it should mean latents that are generated better, or else −1.
    """

    label: str
    sign: int


MEASURES = {
    "gain_nats_per_dim": Measure("gain", 1),
    "dynamic_gain_nats_per_dim": Measure("dynamic gain", 1),
    "speech_borne_gain_nats_per_dim": Measure("speech-borne gain", 1),
    "dynamic_gain_bits_per_s": Measure("dynamic gain, bit/s", 1),
    "audible_gain_nats": Measure("gain weighted by what is heard", 1),
    "r2": Measure("R² of one step", 1),
    "autocorrelation": Measure("autocorrelation", 1),
    "velocity_variance": Measure("velocity variance given the past", -1),
    "velocity_variance_without_past": Measure("velocity variance", -1),
    "reconstruction_error": Measure("reconstruction error", -1),
}


def gains(of: RankedSet, params: Params) -> dict[str, float]:
    """Measure the gains as the row of a codec, with less of train, a smaller network, once."""
    lengths = in_steps(params.predict, of.frames_per_step)
    small = lengths.model_copy(update={"width": params.ranking_study.width})
    params = params.model_copy(update={"predict": small})
    data = of.data.part_of_train(GAIN_PARTS)
    speech = None if of.speech is None else of.speech.part_of_train(GAIN_PARTS)
    subject = Subject(of.codec.weights_sha256, of.latents, of.normalizer, data, speech, None)
    leads = fit_leads(subject, params, {NEXT_FRAME: 1}, {})
    found = measure(leads, params, of.data.frame_rate)
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, float) and key.partition("_ci_")[0] in MEASURES
    }


def linear_measures(of: RankedSet, params: Params) -> dict[str, float]:
    """Give R² on test of a ridge VAR, and its gain of each component, weighted by what is heard.

    The effect of a component is that of stage `structure`, here of the codec's components.
    """
    params = generator_params(params, of.frames_per_step, params.calm.head)
    var = linear_model(params, of.data)
    squares = squared_errors(var, batches(of.data, "test", params), of.data.train_mean())
    left, whole = (of_all.mean(0) for of_all in squares)
    by_component = (-0.5 * (left / whole).log()).numpy()
    effects = component_effects(of.codec, of.normalizer, of.latents, EFFECT_CLIPS, params.seed)
    weights = np.tile(effects / effects.sum(), of.frames_per_step) / of.frames_per_step
    return {
        "r2": float(1 - left.sum() / whole.sum()),
        "audible_gain_nats": float(weights @ by_component),
        "autocorrelation": autocorrelation(of.data, 1),
    }


def batches(data: Sequences, split: str, params: Params) -> list[Batch]:
    """Make batches of a split, one step ahead, with the targets of `predict`."""
    warmup, most = params.predict.warmup_frames, params.calm.batch_frames
    return in_memory(data.batches(split, NEXT_FRAME, warmup, most, delta=False))


def without_past(data: Sequences, seed: int) -> Sequences:
    """Keep the frames as targets, behind a past that was permuted over the whole split."""
    generator = torch.Generator().manual_seed(seed)
    return replace(permute(data, generator, 0), targets=data.frames)


def velocity_variances(of: RankedSet, params: Params) -> dict[str, float]:
    """Measure the velocity irreducible variance of flow matching, with and without the past.

    It is E|v − E[v | x_t, t, past]|² of a coordinate, where v = x₁ − x₀ (arXiv 2606.03578), at the
    end of the training of a CALM with this head. Of a Gaussian that the past leaves a standard
    deviation of s it is s π/2.

    Args:
        of: the set.
        params: all settings.
    """
    known = {
        "velocity_variance": of.data,
        "velocity_variance_without_past": without_past(of.data, params.seed),
    }
    return {name: _velocity_variance(of, data, params) for name, data in known.items()}


class VelocityTraining(nn.Module):
    """A CALM with the head of flow matching, judged by the error of its velocity.

    `CalmTraining` keeps the weights whose samples are best: of whitened frames without a past these
    are the first, which give back the noise as it is.

    Args:
        model: the model to train.
    """

    def __init__(self, model: Predictor) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Compute the (scored,) losses in training, and else the errors, always of one noise."""
        target = self.model.whitening.whiten(batch.target[batch.scored])
        features = self.model.trunk.features(batch)
        head = head_of(self.model)
        if self.training:
            return head.losses(features, target, 0.0).weighted
        with draws_of(EVALUATION_SEED):
            return head.losses(features, target, 0.0).error


def _velocity_variance(of: RankedSet, data: Sequences, params: Params) -> float:
    job = calm_job(of, data, params, VELOCITY, 0)
    calm, seed = job.params.calm, seed_of(job.seed, VELOCITY)
    torch.manual_seed(seed)
    model = make_calm(matched(job.shape, job.parameters), *moments(data))
    training = VelocityTraining(model)
    train, validation = (batches(data, split, job.params) for split in ("train", "validation"))
    epochs = enough_epochs(calm.epochs, len(train), job.params)
    settings = TrainingParams(calm.lr, epochs, compute=uncompiled(params.compute))
    fit(training, train, validation, settings, torch.Generator().manual_seed(seed))
    training.eval()
    with torch.no_grad():
        errors = [training(batch) for batch in batches(data, "test", job.params)]
    return float(torch.cat(errors).double().mean())


def reconstruction_error(decoded: np.ndarray, places: Places) -> dict[str, float]:
    """Give the mean absolute difference in nepers of decoded latents to the recording.

    Args:
        decoded: (starts, WINDOW, 40) log-mel frames of the latents that were there.
        places: where they are.
    """
    return {"reconstruction_error": float(np.abs(decoded - places.recorded).mean())}
