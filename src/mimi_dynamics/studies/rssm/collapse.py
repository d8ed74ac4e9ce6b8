"""Detectors of collapse: an empty state or an unused innovation, both of which can lower a loss."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.generation.rollouts import seeded
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.devices import CPU, device_at
from mimi_dynamics.studies.rssm.model import Factors
from mimi_dynamics.studies.rssm.training import StateModel

ACTIVE_NATS = 0.01  # a coordinate of z_rec with a lower KL is not used
ACTIVE_SHARE = 0.001  # a coordinate of z_dyn is used if setting it to zero costs more R² than this
LEAST_FIDELITY = 0.05  # below this R² of x from z_dyn, the state is empty
# Below this share of the gain on the next x, the state has lost what matters.
LEAST_SUFFICIENCY = 0.25
# If z_dyn of another clip costs less R² than this, the reconstructor ignores the state.
LEAST_USE = 0.01
# In shares of the budget: below this range z_rec is dead, above it the multiplier has failed.
KL_RANGE = (0.1, 1.25)


@dataclass(frozen=True)
class Diagnosis:
    """How a trained model uses its state and its innovation on one split.

    Attributes:
        readings: (frames, dim) x reconstructed from z_dyn and from z_rec of the posterior.
        kl: KL of posterior and prior in nats per frame.
        surprise: −log p(x | z_dyn, z_rec) in nats per frame, with z_rec of the posterior.
        r2: R² of x, by what x was reconstructed from.
        active_rec: number of coordinates of z_rec that carry information.
        active_state: number of coordinates of z_dyn that the reconstructor uses.
    """

    readings: Tensor
    kl: Estimate
    surprise: Estimate
    r2: dict[str, float]
    active_rec: int
    active_state: int

    @property
    def state_use(self) -> float:
        """The R² that is lost if z_dyn comes from another clip."""
        return self.r2["posterior"] - self.r2["state_of_other_clip"]

    def signs_of_collapse(
        self, budget: float, fidelity: float, sufficiency: float
    ) -> dict[str, int]:
        """Give 1 for every sign of collapse that is present, otherwise 0.

        Args:
            budget: budget of the model in nats per frame.
            fidelity: R² of x from z_dyn alone, on the same split.
            sufficiency: sufficiency of z_dyn for the next x, on the same split.
        """
        low, high = (share * budget for share in KL_RANGE)
        signs = {
            "state_is_empty": fidelity < LEAST_FIDELITY,
            "state_is_insufficient": sufficiency < LEAST_SUFFICIENCY,
            "state_is_ignored": self.state_use < LEAST_USE or self.active_state == 0,
            "innovation_is_dead": self.kl.value < low or self.active_rec == 0,
            "budget_is_overspent": self.kl.value > high,
        }
        return {name: int(sign) for name, sign in signs.items()}


@torch.no_grad()
def diagnose(
    model: StateModel,
    data: Sequences,
    held: Sequences,
    split: str,
    bootstrap: ClipBootstrap,
    seed: int,
) -> Diagnosis:
    """Reconstruct x from the right state and innovation, and from wrong ones.

    Args:
        model: the trained model, which computes on the device that it is on.
        data: the frames x.
        held: the states of all frames given which innovations are told (`conditions`).
        split: the split of the clips to reconstruct.
        bootstrap: bootstrap draws of that split's clips.
        seed: seed of the draws of z_rec.
    """
    clips, device = data.select(split), device_at(model)
    of_split = clips.frames, held.select(split).frames, ~clips.gated, data.train_mean()
    frames, states, counts, mean = (tensor.to(device) for tensor in of_split)
    total = (frames - mean)[counts].square().sum()
    # A shift by half of all frames leads to another clip, unless one clip is half of the split.
    other = torch.arange(len(frames), device=device).roll(len(frames) // 2)

    def r2(state: Tensor, innovation: Tensor) -> float:
        read = model.reconstruct(state, innovation).mean
        return 1 - ((frames - read)[counts].square().sum() / total).item()

    with seeded(seed):
        factors = model.factors(frames, states)
        posterior, prior = factors.posterior.sample(), factors.prior.sample()
    r2_from = {
        "posterior": r2(states, posterior),
        "prior": r2(states, prior),
        "innovation_of_other_clip": r2(states, posterior[other]),
        "state_zeroed": r2(torch.zeros_like(states), posterior),
        "state_of_other_clip": r2(states[other], posterior),
    }
    each = torch.arange(states.shape[1], device=device)
    silenced = [r2(states.index_fill(1, d, 0), posterior) for d in each.split(1)]
    density, clip = model.reconstruct(states, posterior), clips.clip_of_frame[~clips.gated.numpy()]
    kl = kl_divergence(factors.posterior, factors.prior)[counts].to(CPU).numpy()
    return Diagnosis(
        readings=density.mean.to(CPU),
        kl=bootstrap.mean(kl, clip),
        surprise=bootstrap.mean(-density.log_prob(frames)[counts].to(CPU).numpy(), clip),
        r2=r2_from,
        active_rec=int((kl_per_coordinate(factors, counts) > ACTIVE_NATS).sum()),
        active_state=sum(r2_from["posterior"] - left > ACTIVE_SHARE for left in silenced),
    )


def kl_per_coordinate(factors: Factors, counts: Tensor) -> Tensor:
    """Give the (rec_dim,) information in each coordinate of z_rec, in nats per frame.

    Args:
        factors: of all frames.
        counts: (frames,) bool, which frames count.
    """
    return kl_divergence(factors.posterior.base_dist, factors.prior.base_dist)[counts].mean(0)
