"""Objectives that make a state tell of frames to come, added to the loss of a factorisation."""

import torch
from torch import Tensor, nn
from torch.distributions import Independent
from torch.nn import functional

from mimi_dynamics.latents.states import NOISE_FLOOR
from mimi_dynamics.studies.rssm.networks import DiagonalGaussian

LEADS = (1, 2, 4)  # frames ahead of which the state must tell
NEGATIVES = 255  # frames, drawn from all targets of a batch, beside which the right one must stand


class Ahead(nn.Module):
    """What is lost where a state tells too little of the frames 1, 2 and 4 steps after it.

    Each kind is made of the number of coordinates of the state and of a frame, and of the number of
    hidden units.
    """

    def forward(self, held: Tensor, frames: Tensor, scored: Tensor) -> Tensor:
        """Give the (clips, time) loss in nats at each target, a third of the sum over leads.

        Args:
            held: (clips, time, state_dim) the state at each frame.
            frames: (clips, time, dim) frames x.
            scored: (clips, time) bool, the frames that are targets.
        """
        total = frames.new_zeros(frames.shape[:2])
        for number, lead in enumerate(LEADS):
            if held.shape[1] > lead:
                lost = self.lost(number, held[:, :-lead], frames[:, lead:], scored[:, lead:])
                total = total + functional.pad(lost / len(LEADS), (lead, 0))
        return total

    def lost(self, number: int, states: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
        """Give the (clips, time) loss for one lead, the `number`-th of `LEADS`."""
        raise NotImplementedError


class Likelihood(Ahead):
    """The state alone must give the likelihood of x."""

    def __init__(self, state_dim: int, dim: int, width: int) -> None:
        super().__init__()
        self.densities = nn.ModuleList(
            DiagonalGaussian(state_dim, dim, width, floor=NOISE_FLOOR) for _ in LEADS
        )

    def lost(self, number: int, states: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
        """Give −log p(x_{t+k} | z_dyn,t)."""
        density: Independent = self.densities[number](states)
        return -density.log_prob(targets)


class Contrast(Ahead):
    """The state must find x among frames drawn by chance (InfoNCE).

    See equation 4 of van den Oord et al. 2018 (CPC, arXiv 1807.03748).
    """

    def __init__(self, state_dim: int, dim: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width))
        self.expect = nn.ModuleList(
            nn.Sequential(nn.Linear(state_dim, width), nn.SiLU(), nn.Linear(width, width))
            for _ in LEADS
        )

    def lost(self, number: int, states: Tensor, targets: Tensor, scored: Tensor) -> Tensor:
        """Give −log of the share that the right frame has of all.

        A state that knows nothing loses the log of their number.
        """
        places = scored.flatten().nonzero()[:, 0]
        if not len(places):
            return targets.new_zeros(targets.shape[:2])
        drawn = places[torch.randint(len(places), (NEGATIVES,), device=places.device)]
        right = self.embed(targets)
        others = right.flatten(0, 1)[drawn]
        expected = self.expect[number](states) / right.shape[-1] ** 0.5
        scores = torch.cat([(expected * right).sum(-1, keepdim=True), expected @ others.T], -1)
        return -scores.float().log_softmax(-1)[..., 0]
