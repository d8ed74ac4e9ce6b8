"""Is the state empty, or the innovation unused? Both look like success to a loss."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.generation.rollouts import seeded
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.studies.rssm.model import Factors, Rssm

ACTIVE_NATS = 0.01  # of z_rec: a coordinate whose KL is below is not used
ACTIVE_SHARE = 0.001  # of z_dyn: least R² that is lost when a coordinate is silenced
LEAST_FIDELITY = 0.05  # R² of x from z_dyn; below, the state is empty
LEAST_SUFFICIENCY = 0.25  # share of the gain on the next x; below, the state forgot what matters
LEAST_USE = 0.01  # R² lost when z_dyn comes from another clip; below, the reconstructor ignores it
KL_RANGE = (0.1, 1.25)  # of the budget; below, z_rec is dead, above, the multiplier failed


@dataclass(frozen=True)
class Diagnosis:
    """How a trained model uses its state and its innovation on one split.

    Attributes:
        readings: (frames, dim) x reconstructed from z_dyn and z_rec of the posterior.
        kl: nats per frame.
        r2: of x, by what it was reconstructed from.
        active_rec: coordinates of z_rec that carry information.
        active_state: coordinates of z_dyn that the reconstructor uses.
    """

    readings: Tensor
    kl: Estimate
    r2: dict[str, float]
    active_rec: int
    active_state: int

    @property
    def state_use(self) -> float:
        """R² lost when z_dyn is of another clip."""
        return self.r2["posterior"] - self.r2["state_of_other_clip"]

    def signs_of_collapse(
        self, budget: float, fidelity: float, sufficiency: float
    ) -> dict[str, int]:
        """1 for every sign of collapse that is there, else 0.

        Args:
            budget: nats per frame that the model was allowed.
            fidelity: R² of x from z_dyn alone, on the same split.
            sufficiency: of z_dyn for the next x, on the same split.
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
    model: Rssm, data: Sequences, held: Sequences, split: str, bootstrap: ClipBootstrap, seed: int
) -> Diagnosis:
    """Reconstruct with the right and with wrong halves.

    Args:
        model: trained.
        data: the frames x.
        held: the noisy states of all frames.
        split: which clips to look at.
        bootstrap: draws of that split's clips.
        seed: of the draws of z_rec.
    """
    clips = data.select(split)
    frames, states = clips.frames, held.select(split).frames
    mean = data.select("train").frames.mean(0)
    total = (frames - mean).square().sum()
    # Half of all frames further on is another clip, unless one clip is half of the split.
    other = torch.arange(len(frames)).roll(len(frames) // 2)

    def r2(state: Tensor, innovation: Tensor) -> float:
        read = model.reconstruct(state, innovation).mean
        return 1 - ((frames - read).square().sum() / total).item()

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
    silenced = [
        r2(states.index_fill(1, torch.tensor([d]), 0), posterior) for d in range(states.shape[1])
    ]
    kl = kl_divergence(factors.posterior, factors.prior).numpy()
    return Diagnosis(
        readings=model.reconstruct(states, posterior).mean,
        kl=bootstrap.mean(kl, clips.clip_of_frame),
        r2=r2_from,
        active_rec=int((kl_per_coordinate(factors) > ACTIVE_NATS).sum()),
        active_state=sum(r2_from["posterior"] - left > ACTIVE_SHARE for left in silenced),
    )


def kl_per_coordinate(factors: Factors) -> Tensor:
    """(rec_dim,) mean nats per frame that each coordinate of z_rec carries."""
    return kl_divergence(factors.posterior.base_dist, factors.prior.base_dist).mean(0)
