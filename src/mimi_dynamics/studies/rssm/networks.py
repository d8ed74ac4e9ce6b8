"""The networks of an `Rssm`, and the multiplier that keeps it within its budget."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal
from torch.nn import functional

from mimi_dynamics.density.heads import make_head
from mimi_dynamics.latents.states import moments
from mimi_dynamics.pipeline.devices import products_in_float32

SCALE_FLOOR = 0.01  # least standard deviation of z_rec
TAPS = 8  # number of frames that the linear part of the encoder sees, 640 ms
DILATIONS = (1, 2, 4, 8)
SLOW_FRAMES = 4  # for which the slow half of a state of two speeds is held, 320 ms
WINDOW = 4  # number of newest states that the dynamics see
MOMENTUM = 0.05  # weight of a batch in the running mean and covariance
DUAL_RATE = 0.05  # change of the log multiplier in each step, for each e-fold of excess
# The part of the log multiplier that depends on the present excess alone, for each e-fold of it.
# Without it, KL and multiplier oscillate until the end of training.
DAMPING = 1.5
KL_MEMORY = 0.8  # weight of the old value in the running mean of the KL
MULTIPLIER_RANGE = (0.01, 1e3)


class StateEncoder(nn.Module):
    """z_dyn,t = e(x_≤t): a linear filter of the last 8 frames plus a causal convolutional network.

    It starts as the leading principal components of the newest frame, so that training continues
    from PCA truncation; moving averages and slow features lie on its way.

    Args:
        dim: number of coordinates of a frame, sorted by falling variance.
        state_dim: number of coordinates of the state.
        width: number of features of the convolutions.
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
        """Map (clips, time, dim) to (clips, time, state_dim), with zeros for time before a clip."""
        hidden = functional.silu(self.inputs(frames))
        for layer, dilation in zip(self.layers, DILATIONS, strict=True):
            delayed = functional.pad(hidden, (0, 0, dilation, 0))[:, :-dilation]
            hidden = hidden + functional.silu(layer(torch.cat([hidden, delayed], -1)))
        return self.filter(windows(frames, TAPS)) + self.outputs(hidden)


class TwoSpeedEncoder(StateEncoder):
    """The same, but the first half of the state changes at every fourth frame of a clip only.

    `StateWhitening` keeps it held, since there a coordinate depends on none after it.
    """

    def forward(self, frames: Tensor) -> Tensor:
        """Map (clips, time, dim) to (clips, time, state_dim), each clip from its first frame."""
        slow, fast = super().forward(frames).tensor_split(2, -1)
        held = slow[:, ::SLOW_FRAMES].repeat_interleave(SLOW_FRAMES, 1)[:, : frames.shape[1]]
        return torch.cat([held, fast], -1)


def windows(sequence: Tensor, length: int) -> Tensor:
    """Give the newest `length` rows at each time, with the newest one last.

    Args:
        sequence: (clips, time, dim) rows.
        length: number of rows to join.

    Returns:
        (clips, time, length × dim).
    """
    padded = functional.pad(sequence, (0, 0, length - 1, 0))
    return padded.unfold(1, length, 1).transpose(2, 3).flatten(2)


class StateWhitening(nn.Module):
    """Whitening to zero mean and unit covariance: a state must not be easy by being small.

    In training, it uses the moments of the batch, through which gradients pass (decorrelated batch
    normalisation, Huang et al. 2018, with a Cholesky root); otherwise it uses running moments.

    Args:
        dim: number of coordinates of the state.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("covariance", torch.eye(dim))

    def forward(self, states: Tensor, valid: Tensor | None) -> Tensor:
        """Whiten (clips, time, dim) states by the moments of the valid ones, or of all.

        Args:
            states: (clips, time, dim) states.
            valid: (clips, time) bool, the states that count for the moments in training; None for
                all.
        """
        mean, covariance = self.mean, self.covariance
        if self.training:
            rows = states.flatten(0, 1) if valid is None else states[valid]
            with products_in_float32(states.device):
                mean, covariance = moments(rows.float())
            with torch.no_grad():
                self.mean.lerp_(mean, MOMENTUM)
                self.covariance.lerp_(covariance, MOMENTUM)
        root = torch.linalg.cholesky(covariance)
        centred = (states.float() - mean).flatten(0, -2)
        return torch.linalg.solve_triangular(root, centred.T, upper=False).T.view_as(states)

    def settle(self, states: Tensor) -> None:
        """Take mean and covariance from all (rows, dim) states instead of running moments."""
        self.mean, self.covariance = moments(states)


class DiagonalGaussian(nn.Module):
    """N(mean(context), diag scale(context)²), both from one hidden layer and a linear path.

    Args:
        context_dim: number of features of the context.
        dim: number of coordinates of the variable.
        width: number of hidden units.
        floor: least value of the scale.
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
        """Give the distribution over (..., dim) for (..., context_dim); it starts near N(0, 1)."""
        hidden = functional.silu(self.hidden(context))
        # Distributions compute in float32 even where products do not.
        mean, raw = (self.outputs(hidden) + self.direct(context)).float().chunk(2, -1)
        scale = functional.softplus(raw + self.unit) + self.floor
        return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)


class StateDynamics(nn.Module):
    """p(z_dyn,u | z_dyn,<u) over updates u, from the newest 4 states, with one of the heads.

    The window is short because this is evaluated at every frame of a batch for every step of a
    rollout. What the whole past tells is measured afterwards, by the estimator of `predict`.

    Args:
        dim: number of coordinates of the state.
        width: number of hidden units.
        head: a key of `heads.HEADS`.
        components: number of mixture components, if the head is a mixture.
    """

    def __init__(self, dim: int, width: int, head: str, components: int) -> None:
        super().__init__()
        self.dim = dim
        self.hidden = nn.Linear(WINDOW * dim, width)
        self.head = make_head(head, dim, width + WINDOW * dim, width, components)

    def features(self, window: Tensor) -> Tensor:
        """Give the (rows, features) context of the head for (rows, WINDOW × dim) states."""
        return torch.cat([functional.silu(self.hidden(window)), window], -1)

    def nll(self, updates: Tensor) -> Tensor:
        """Give the (clips, updates) NLL in nats of each state given the states before it."""
        before = functional.pad(updates, (0, 0, 1, 0))[:, :-1]
        features = self.features(windows(before, WINDOW).flatten(0, 1))
        return -self.head(features).log_prob(updates.flatten(0, 1)).view(updates.shape[:2])

    def roll(self, updates: Tensor, ahead: int) -> Tensor:
        """Draw the state `ahead` updates after each state, fed with its own draws.

        Gradients pass through the draws if the head allows it (`rsample`).

        Args:
            updates: (clips, updates, dim) states.
            ahead: number of updates to roll out.

        Returns:
            (clips, updates, dim) states.
        """
        window = windows(updates, WINDOW).flatten(0, 1)
        for _ in range(ahead):
            density = self.head(self.features(window))
            state = density.rsample() if density.has_rsample else density.sample()
            window = torch.cat([window[:, self.dim :], state], -1)
        return state.view_as(updates)


class Budget:
    """The multiplier β of KL ≤ budget, by damped dual ascent on its logarithm.

    It is the constraint of Rezende & Viola 2018 (arXiv 1810.00597) the other way round: there the
    reconstruction is held and the KL falls, here the KL is held. log β is the sum of all excess so
    far plus a term in the present excess (the proportional term of Stooke et al. 2020, arXiv
    2007.03964). The excess is log(KL / budget) for a running mean of the KL.

    Args:
        nats_per_frame: the budget.
    """

    def __init__(self, nats_per_frame: float) -> None:
        self.nats_per_frame = nats_per_frame
        self.multiplier = 1.0
        self.mean_kl = nats_per_frame
        self.sum = 0.0

    def ascend(self, kl: float) -> None:
        """Take one step after a batch with the mean KL `kl` in nats per frame."""
        self.mean_kl = KL_MEMORY * self.mean_kl + (1 - KL_MEMORY) * kl
        excess = max(-1.0, min(1.0, math.log(max(self.mean_kl, 1e-9) / self.nats_per_frame)))
        low, high = (math.log(bound) for bound in MULTIPLIER_RANGE)
        self.sum = max(low, min(high, self.sum + DUAL_RATE * excess))
        self.multiplier = math.exp(max(low, min(high, self.sum + DAMPING * excess)))
