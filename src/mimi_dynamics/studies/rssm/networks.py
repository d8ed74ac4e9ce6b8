"""The networks that an `Rssm` is made of, and the multiplier that holds its budget."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn import functional

from mimi_dynamics.density.heads import make_head
from mimi_dynamics.latents.states import moments

SCALE_FLOOR = 0.01  # of z_rec
TAPS = 8  # frames that the linear part of the encoder sees: 640 ms
DILATIONS = (1, 2, 4, 8)
WINDOW = 4  # newest states that the dynamics see
MOMENTUM = 0.05  # of a batch in the running mean and covariance
DUAL_RATE = 0.05  # per step, of the logarithm of the multiplier, and per e-fold of excess
DAMPING = 1.5  # the same at once; without it KL and multiplier swing to the end of training
KL_MEMORY = 0.8  # of the running mean of the KL, per step
MULTIPLIER_RANGE = (0.01, 1e3)


class StateEncoder(nn.Module):
    """z_dyn,t = e(x_≤t): a linear filter of the last 8 frames and a causal convolutional network.

    At the start it is the leading principal components of the newest frame, so that training goes
    on from where PCA truncation is; moving averages and slow features lie on its way.

    Args:
        dim: coordinates of a frame, by falling variance.
        state_dim: coordinates of the state.
        width: features of the convolutions.
    """

    def __init__(self, dim: int, state_dim: int, width: int) -> None:
        super().__init__()
        self.filter = nn.Linear(TAPS * dim, state_dim, bias=False)
        nn.init.normal_(self.filter.weight, std=0.01)
        with torch.no_grad():
            self.filter.weight[:, -dim:] += torch.eye(state_dim, dim)
        self.inputs = nn.Linear(dim, width)
        self.layers = nn.ModuleList([nn.Linear(2 * width, width) for _ in DILATIONS])
        self.outputs = nn.Linear(width, state_dim)
        nn.init.normal_(self.outputs.weight, std=0.01)

    def forward(self, frames: Tensor) -> Tensor:
        """(clips, time, state_dim) of (clips, time, dim); time before a clip counts as zeros."""
        hidden = functional.silu(self.inputs(frames))
        for layer, dilation in zip(self.layers, DILATIONS, strict=True):
            delayed = functional.pad(hidden, (0, 0, dilation, 0))[:, :-dilation]
            hidden = hidden + functional.silu(layer(torch.cat([hidden, delayed], -1)))
        return self.filter(windows(frames, TAPS)) + self.outputs(hidden)


def windows(sequence: Tensor, length: int) -> Tensor:
    """(clips, time, length × dim) the newest `length` rows at each time, the newest one last."""
    padded = functional.pad(sequence, (0, 0, length - 1, 0))
    return padded.unfold(1, length, 1).transpose(2, 3).flatten(2)


class StateWhitening(nn.Module):
    """Zero mean and unit covariance: a state must not be easy for being small.

    In training by the batch's own moments, through which gradients pass (decorrelated batch
    normalisation, Huang et al. 2018, with a Cholesky root); else by running ones.

    Args:
        dim: coordinates of the state.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("covariance", torch.eye(dim))

    def forward(self, states: Tensor, valid: Tensor | None) -> Tensor:
        """Whitened states of (clips, time, dim), by those of them that are valid, or by all."""
        mean, covariance = self.mean, self.covariance
        if self.training:
            rows = states.flatten(0, 1) if valid is None else states[valid]
            mean, covariance = moments(rows)
            with torch.no_grad():
                self.mean.lerp_(mean, MOMENTUM)
                self.covariance.lerp_(covariance, MOMENTUM)
        root = torch.linalg.cholesky(covariance)
        centred = (states - mean).flatten(0, -2)
        return torch.linalg.solve_triangular(root, centred.T, upper=False).T.view_as(states)

    def settle(self, states: Tensor) -> None:
        """Take mean and covariance from all states of (rows, dim) instead of running ones."""
        self.mean, self.covariance = moments(states)


class DiagonalGaussian(nn.Module):
    """N(mean(context), diag scale(context)²), both from one hidden layer and a linear path.

    Args:
        context_dim: features of the context.
        dim: coordinates of the variable.
        width: hidden units.
        floor: of the scale.
    """

    def __init__(self, context_dim: int, dim: int, width: int, floor: float = SCALE_FLOOR) -> None:
        super().__init__()
        self.hidden = nn.Linear(context_dim, width)
        self.outputs = nn.Linear(width, 2 * dim)
        self.direct = nn.Linear(context_dim, 2 * dim)
        self.floor, self.unit = floor, math.log(math.expm1(1 - floor))
        for layer in (self.outputs, self.direct):
            nn.init.normal_(layer.weight, std=0.05)
            nn.init.zeros_(layer.bias)

    def forward(self, context: Tensor) -> Independent:
        """Distribution over (..., dim) given (..., context_dim); about N(0, 1) at the start."""
        hidden = functional.silu(self.hidden(context))
        mean, raw = (self.outputs(hidden) + self.direct(context)).chunk(2, -1)
        scale = functional.softplus(raw + self.unit) + self.floor
        return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


class StateDynamics(nn.Module):
    """p(z_dyn,u | z_dyn,<u) over updates u, from the newest 4 states, with one of the heads.

    Short, because it is evaluated at every frame of a batch for every step of a rollout; what the
    whole past tells is measured afterwards, by the estimator of `predict`.

    Args:
        dim: coordinates of the state.
        width: hidden units.
        head: a key of `heads.HEADS`.
        components: mixture components, where the head is a mixture.
    """

    def __init__(self, dim: int, width: int, head: str, components: int) -> None:
        super().__init__()
        self.dim = dim
        self.hidden = nn.Linear(WINDOW * dim, width)
        self.head = make_head(head, dim, width + WINDOW * dim, width, components)

    def features(self, window: Tensor) -> Tensor:
        """(rows, features) of (rows, WINDOW × dim) states."""
        return torch.cat([functional.silu(self.hidden(window)), window], -1)

    def nll(self, updates: Tensor) -> Tensor:
        """(clips, updates) nats of each state given those before it."""
        before = functional.pad(updates, (0, 0, 1, 0))[:, :-1]
        features = self.features(windows(before, WINDOW).flatten(0, 1))
        return -self.head(features).log_prob(updates.flatten(0, 1)).view(updates.shape[:2])

    def roll(self, updates: Tensor, ahead: int) -> Tensor:
        """(clips, updates, dim) one draw of the state `ahead` updates after each, fed by its own.

        Gradients pass through the draws of a head that can be drawn from in that way.
        """
        window = windows(updates, WINDOW).flatten(0, 1)
        for _ in range(ahead):
            density = self.head(self.features(window))
            state = density.rsample() if density.has_rsample else density.sample()
            window = torch.cat([window[:, self.dim :], state], -1)
        return state.view_as(updates)


class Budget:
    """The multiplier β of KL ≤ budget, by damped dual ascent on its logarithm.

    As the constraint of Rezende & Viola 2018 (arXiv 1810.00597), the other way round: there the
    reconstruction is held and the KL falls, here the KL is held. log β is the sum of all excess so
    far and of the present one (the proportional term of Stooke et al. 2020, arXiv 2007.03964), the
    excess being log(KL / budget) of a running mean.

    Args:
        nats_per_frame: the budget.
    """

    def __init__(self, nats_per_frame: float) -> None:
        self.nats_per_frame = nats_per_frame
        self.multiplier = 1.0
        self.mean_kl = nats_per_frame
        self.sum = 0.0

    def ascend(self, kl: float) -> None:
        """One step, after one batch of that mean KL in nats per frame."""
        self.mean_kl = KL_MEMORY * self.mean_kl + (1 - KL_MEMORY) * kl
        excess = max(-1.0, min(1.0, math.log(max(self.mean_kl, 1e-9) / self.nats_per_frame)))
        low, high = (math.log(bound) for bound in MULTIPLIER_RANGE)
        self.sum = max(low, min(high, self.sum + DUAL_RATE * excess))
        self.multiplier = math.exp(max(low, min(high, self.sum + DAMPING * excess)))
