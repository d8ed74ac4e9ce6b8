"""p(target | x_{≤t}): a causal trunk over the full past, and a density head.

A marginal model is the same thing without the past, and a conditional model starts as one.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mimi_dynamics.heads import make_head
from mimi_dynamics.sequences import Batch
from mimi_dynamics.tensors import read_tensors, write_tensors
from mimi_dynamics.var import Var

State = list[Tensor]
# Sharp dependence on the newest frame is learned faster the larger it is: of a process whose scale
# jumps with the sign of the last frame, 79 % of the information was found with 1 and 83 % with 4.
FRAME_SCALE = 4


class Trunk(nn.Module):
    """A causal summary of all frames up to t.

    Convolutions over the last 8 frames (dilated as in WaveNet, van den Oord et al. 2016) and
    leaky averages over all before them. A GRU of the same width took twice the time of a training
    step for a validation NLL 0.01 nats/dim worse: on a few short clips its matrices are too thin.
    The newest frame itself and the forecast of the ridge VAR stand beside the summary: what dropout
    blurs is sharp there, and what is linear need not be learned. Without the VAR, 3 % of the
    information of a process that repeats the frame of 8 steps ago was found.

    Args:
        var: the fitted VAR, of order 1 or more.
        width: features of the summary.
        dropout: share of the summary's features dropped in training.
    """

    def __init__(self, var: Var, width: int, dropout: float) -> None:
        super().__init__()
        dim = len(var.intercept)
        self.width = features_beside(dim, width)
        self.gate = nn.Parameter(torch.zeros(self.width))  # a conditional starts as the marginal
        self.forecast = LinearForecast(var)
        self.inputs = nn.Linear(dim, width)
        self.layers = nn.ModuleList(
            [Convolution(width, 1), Convolution(width, 2), Average(width), Convolution(width, 4)]
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """(clips, time, features) from frames of (clips, time, dim)."""
        return self.step(frames, None)[0]

    def step(self, frames: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Go on from where `state` left off: features of these frames, and the new state.

        Every tensor of a state has one row per clip; None stands for the start of the clips.
        """
        hidden = self.dropout(functional.silu(self.inputs(frames)))
        if state is None:
            state = [layer.start(hidden) for layer in self.layers] + [self.forecast.start(frames)]
        after = []
        for layer, past in zip(self.layers, state[:-1], strict=True):
            hidden, past = layer(hidden, past)
            after.append(past)
        summary = self.dropout(self.norm(hidden))
        forecast, past = self.forecast(frames, state[-1])
        features = torch.cat([summary, FRAME_SCALE * frames, FRAME_SCALE * forecast], -1)
        return features * self.gate, [*after, past]

    def features(self, batch: Batch) -> Tensor:
        """(scored, features) of what is known when each scored target is predicted."""
        return self(batch.context)[batch.scored]


def features_beside(dim: int, width: int) -> int:
    """How many features a trunk has: the summary, the newest frame and the forecast."""
    return width + 2 * dim


class LinearForecast(nn.Module):
    """The mean of a VAR, which is not trained.

    Args:
        var: of order 1 or more.
    """

    def __init__(self, var: Var) -> None:
        super().__init__()
        self.register_buffer("coefficients", var.coefficients)
        self.register_buffer("intercept", var.intercept)

    @property
    def memory(self) -> int:
        """Frames before the newest one that count."""
        return len(self.coefficients) - 1

    def start(self, frames: Tensor) -> Tensor:
        """(clips, memory, dim) zeros before the first frame."""
        return frames.new_zeros(len(frames), self.memory, frames.shape[2])

    def forward(self, frames: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(clips, time, dim) forecasts, and the past of the frames to come."""
        known = torch.cat([past, frames], 1)
        mean = Var(self.coefficients, self.intercept, self.intercept).mean(known)
        return mean[:, self.memory :], known[:, known.shape[1] - self.memory :]


class Convolution(nn.Module):
    """Residual layer that looks at this frame and one `dilation` frames earlier.

    Args:
        width: features.
        dilation: frames between the two.
    """

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.linear = nn.Linear(2 * width, width)

    def start(self, hidden: Tensor) -> Tensor:
        """(clips, dilation, width) silence before the first frame."""
        return torch.zeros_like(hidden[:, :1]).expand(-1, self.dilation, -1)

    def forward(self, hidden: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(clips, time, width) output, and the past of the frames to come."""
        known = torch.cat([past, hidden], 1)
        delayed = known[:, : hidden.shape[1]]
        change = functional.silu(self.linear(torch.cat([hidden, delayed], -1)))
        return hidden + change, known[:, -self.dilation :]


class Average(nn.Module):
    """Residual layer of exponentially weighted means of the whole past, each with its own memory.

    Args:
        width: features; their time constants start between 4 and 150 frames.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.linspace(1, 5, width))  # sigmoid: weight kept per frame
        self.inputs = nn.Linear(width, width)
        self.outputs = nn.Linear(width, width)

    def start(self, hidden: Tensor) -> Tensor:
        """(clips, 1, width) nothing averaged yet."""
        return torch.zeros_like(hidden[:, :1])

    def forward(self, hidden: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(clips, time, width) output, and the averages at its last frame."""
        keep = torch.sigmoid(self.decay)
        mean = (1 - keep) * self.inputs(hidden)
        mean = torch.cat([mean[:, :1] + keep * past, mean[:, 1:]], 1)
        shift = 1
        while shift < mean.shape[1]:  # each round doubles how far back a mean reaches
            earlier = functional.pad(mean[:, :-shift], (0, 0, shift, 0))
            mean = mean + keep**shift * earlier
            shift *= 2
        return hidden + functional.silu(self.outputs(mean)), mean[:, -1:]


class NoPast(nn.Module):
    """The trunk of a marginal model: features that are all zero, once for every target.

    Args:
        width: number of features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def features(self, batch: Batch) -> Tensor:
        """(1, features) zeros."""
        return batch.context.new_zeros(1, self.width)


class Whitening(nn.Module):
    """y = L⁻¹ (target − mean), L Lᵀ the targets' covariance; fixed, not trained.

    A residual of the ridge VAR in place of the target made the flow 0.05 nats/dim worse: where the
    density has sharp peaks, as of silence, the VAR's errors blur them.

    Args:
        mean: (dim,) of the training targets.
        covariance: (dim, dim) of the training targets.
    """

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("root", torch.linalg.cholesky(covariance))

    def whiten(self, target: Tensor) -> Tensor:
        """(rows, dim) whitened target."""
        return torch.linalg.solve_triangular(self.root, (target - self.mean).T, upper=False).T

    def colour(self, whitened: Tensor) -> Tensor:
        """Inverse of `whiten`, for any leading dimensions."""
        return whitened @ self.root.T + self.mean

    @property
    def log_determinant(self) -> Tensor:
        """Log |det| of the map from target to whitened target."""
        return -self.root.diagonal().log().sum()


class Predictor(nn.Module):
    """Density of the target given all frames up to t.

    Args:
        whitening: coordinates in which the head works.
        trunk: batch to features of each scored target, causal; or `NoPast`.
        head: features to a distribution over the whitened target.
    """

    def __init__(self, whitening: Whitening, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.whitening = whitening
        self.trunk = trunk
        self.head = head

    def log_prob(self, batch: Batch) -> Tensor:
        """(scored,) log density of each scored target, in nats."""
        target = self.whitening.whiten(batch.target[batch.scored])
        density = self.head(self.trunk.features(batch))
        return density.log_prob(target) + self.whitening.log_determinant

    def forward(self, batch: Batch) -> Tensor:
        """(scored,) negative log density: the loss of each scored target."""
        return -self.log_prob(batch)

    def sample(self, batch: Batch, samples: int) -> Tensor:
        """(samples, scored, dim) independent draws of each scored target."""
        drawn = self.head(self.trunk.features(batch)).sample((samples,))
        return self.whitening.colour(drawn)

    def mean_and_spread(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(scored, dim) mean and (scored,) summed variance, for heads that know theirs."""
        distribution = self.head(self.trunk.features(batch))
        spread = distribution.variance @ self.whitening.root.square().sum(0)
        return self.whitening.colour(distribution.mean), spread


def make_marginal(gaussian: Var, head: str, width: int, components: int) -> Predictor:
    """Build a density of the target alone, of the same family as `make_conditional`.

    Args:
        gaussian: the VAR of order 0: mean and covariance of the target.
        head: a key of `heads.HEADS`.
        width: hidden units of trunk and head.
        components: mixture components of the head.
    """
    dim = len(gaussian.intercept)
    no_past = NoPast(features_beside(dim, width))
    density = make_head(head, dim, no_past.width, width, components)
    return Predictor(Whitening(gaussian.intercept, gaussian.covariance), no_past, density)


def make_conditional(marginal: Predictor, var: Var, width: int, dropout: float) -> Predictor:
    """Build a density given the past which, before it is trained, is the marginal.

    Args:
        marginal: of the same width; it is copied.
        var: the ridge VAR whose forecast the head is told.
        width: hidden units of the trunk.
        dropout: of the trunk, in training.
    """
    trunk = Trunk(var, width, dropout)
    return Predictor(copy.deepcopy(marginal.whitening), trunk, copy.deepcopy(marginal.head))


def save_predictor(predictor: Predictor, path: Path, info: Mapping[str, Any]) -> None:
    """Write weights and what is needed to build the model again.

    Args:
        predictor: a conditional density.
        path: of the safetensors file.
        info: `head`, `width`, `components`, and whatever else a reader should know.
    """
    order, dim, _ = predictor.trunk.forecast.coefficients.shape
    write_tensors(path, predictor.state_dict(), {"order": order, "dim": dim, **info})


def load_predictor(path: Path) -> tuple[Predictor, dict[str, Any]]:
    """Read what `save_predictor` wrote: the model, ready to score and sample, and its `info`."""
    tensors, info = read_tensors(path)
    dim, width = info["dim"], info["width"]
    var = Var(torch.zeros(info["order"], dim, dim), torch.zeros(dim), torch.eye(dim))
    marginal = make_marginal(var, info["head"], width, info["components"])
    predictor = make_conditional(marginal, var, width, dropout=0.0)
    predictor.load_state_dict(tensors)
    return predictor.eval(), info
