"""How much is new in each frame: what drives the state, what is left to z_rec, and what bounds x.

With z̃ the state with its noise floor N(0, σ²) as what is drawn of frames, every kind of state is a
model of x with latent variables, so that kinds can be compared in one unit:

    −log p(x_t | x_<t) ≤ −log p(x_t | z̃_t, z_rec,t) + KL_t + (log q(z̃_t | x_≤t) − log p(z̃_t | z̃_<t))

on average (the evidence lower bound, Kingma & Welling 2014, arXiv 1312.6114, equation 3). The last
two terms are what is new in the state, an NLL less the entropy of the noise. A state that z_rec
drives has no such terms, since nothing reaches it by another way: there the KL is what is new in
it, and nothing is left beside.
"""

import math
from dataclasses import dataclass
from functools import partial

from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.gains import Scored
from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.studies.rssm.recursive import RecursiveRssm
from mimi_dynamics.studies.rssm.sweep import Sweep

NOISE_ENTROPY = 0.5 * math.log(2 * math.pi * math.e * NOISE_FLOOR**2)  # of a coordinate, in nats


def bits_per_s(nats_per_frame: float, frame_rate: float) -> float:
    """Convert nats a frame to bits a second."""
    return nats_per_frame * (frame_rate / math.log(2))


@dataclass(frozen=True)
class Rates:
    """What is new in a frame, in nats per frame.

    Attributes:
        state: what is new in z_dyn, given its past.
        residual: what z_rec adds beside the state.
        surprise: −log p(x | z_dyn, z_rec).
        frame_rate: frames a second.
    """

    state: float
    residual: float
    surprise: float
    frame_rate: float

    def metrics(self) -> dict[str, float]:
        """Give the rates in bits a second, and the bound on −log p(x) in nats per frame."""
        to_bits = partial(bits_per_s, frame_rate=self.frame_rate)
        return {
            "state_innovation_bits_per_s": to_bits(self.state),
            "residual_bits_per_s": to_bits(self.residual),
            "total_bits_per_s": to_bits(self.state + self.residual),
            "nll_bound_nats_per_frame": self.state + self.residual + self.surprise,
        }


def rates(sweep: Sweep, name: str, split: str) -> Rates:
    """Give what is new in each frame of a split, by a model that was trained and measured."""
    diagnosis = sweep.diagnosis(name, split)
    kl, surprise, rate = diagnosis.kl.value, diagnosis.surprise.value, sweep.data.frame_rate
    if isinstance(sweep.trained[name].model, RecursiveRssm):
        return Rates(kl, 0.0, surprise, rate)
    return Rates(state_innovation(sweep, name, split).value, kl, surprise, rate)


def state_innovation(sweep: Sweep, name: str, split: str) -> Estimate:
    """Give the nats per frame that are new in the noisy coordinates of a candidate.

    Args:
        sweep: what was measured.
        name: name of a candidate, which may be a state, a rival or raw x.
        split: name of the split.
    """
    measured, bootstrap = sweep.measured[name], sweep.bootstraps[split]
    updates = measured.job.candidate.updates
    nll = measured.densities["conditional"].nll[split]
    new = bootstrap.mean(nll - NOISE_ENTROPY * updates.dim, Scored.of(measured.job.fit, split).clip)
    return new / (sweep.data.frame_rate / updates.frame_rate)  # frames in an update
