"""CALM as a predictor of the next frame: its trunk, its head, and the training of both."""

from bisect import bisect_left
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mimi_dynamics.density.predictor import Predictor, Whitening
from mimi_dynamics.density.trunk import AnyTrunk, State
from mimi_dynamics.evidence.energy_score import energy_of_pair
from mimi_dynamics.latents.sequences import Batch, Sequences
from mimi_dynamics.pipeline.devices import draws_of
from mimi_dynamics.pipeline.params import CalmParams
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors
from mimi_dynamics.studies.calm.head_base import CalmHead, HeadShape
from mimi_dynamics.studies.calm.heads import CALM_HEADS
from mimi_dynamics.studies.calm.transformer import HEADS, CausalTransformer

EVALUATION_SEED = 0  # a validation loss uses the same draws in every epoch
# Rotary positions turn pairs of features in every head, so widths are multiples of twice `HEADS`.
WIDTHS = range(2 * HEADS, 513, 2 * HEADS)


@dataclass(frozen=True)
class CalmShape:
    """The settings that are needed to build a CALM.

    Attributes:
        dim: number of coordinates of a frame.
        width: number of features of both transformers and of the head.
        layers: number of layers of the backbone.
        context: number of frames that a layer of the backbone sees.
        head: the kind of head; its sizes are those of the whole model.
        short_frames: the number K of clean frames that the short transformer of one layer sees; 0
            for no short transformer.
        noise_injection: whether the backbone reads noisy frames in training.
        dropout: dropout rate of the transformers in training.
    """

    dim: int
    width: int
    layers: int
    context: int
    head: HeadShape
    short_frames: int = 5
    noise_injection: bool = True
    dropout: float = 0.1


def shape_of(settings: CalmParams, dim: int) -> CalmShape:
    """Give the shape that the settings ask for, without a width, which `matched` finds.

    Args:
        settings: the section `calm` of the settings.
        dim: number of coordinates of a frame.
    """
    head = HeadShape(
        settings.head, settings.head_depth, settings.head_batch, settings.sampling_steps
    )
    return CalmShape(dim, 0, settings.layers, settings.context_frames, head)


class Conditioning(AnyTrunk):
    """Z_{t+1} = backbone(noisy x_≤t) + short transformer(clean x_{t−K+1} … x_t).

    The backbone must not rely on single frames, because those that it reads in a rollout are its
    own; the short transformer restores the detail that the noise removes (CALM, section 3.2).

    Args:
        shape: see `CalmShape`.
        mean: (dim,) mean of train frames.
        scale: (dim,) standard deviation of train frames; noise is mixed in at unit variance.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: CalmShape, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.noise_injection = shape.noise_injection
        self.register_buffer("mean", mean.clone())
        self.register_buffer("scale", scale.clone())
        dim, width, drop = shape.dim, shape.width, shape.dropout
        self.backbone = CausalTransformer(dim, width, shape.layers, shape.context, drop)
        self.short = (
            CausalTransformer(dim, width, 1, shape.short_frames, drop)
            if shape.short_frames
            else None
        )

    def step(self, frames: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Go on from where `state` left off; give (clips, time, width) and the new state.

        Args:
            frames: (clips, time, dim) the next frames of each clip.
            state: the state after the frames before them; None at the start of clips.
        """
        clean = (frames - self.mean) / self.scale
        noisy = inject_noise(clean) if self.training and self.noise_injection else clean
        parts = self.backbone.state_size
        summary, after = self.backbone.step(noisy, None if state is None else state[:parts])
        if self.short is not None:
            detail, more = self.short.step(clean, None if state is None else state[parts:])
            summary, after = summary + detail, after + more
        return summary, after

    def features(self, batch: Batch) -> Tensor:
        """Give the (scored, width) features that are known when each scored target is predicted."""
        return self.step(batch.context, None)[0][batch.scored]


def inject_noise(frames: Tensor) -> Tensor:
    """Mix √k ε + √(1 − k) x, with k ~ U(0, 1) for each frame: equal variance, but less of x."""
    share = torch.rand(*frames.shape[:-1], 1, device=frames.device)
    return share.sqrt() * torch.randn_like(frames) + (1 - share).sqrt() * frames


def make_calm(shape: CalmShape, mean: Tensor, scale: Tensor) -> Predictor:
    """Build a predictor that can be sampled but has no density.

    Args:
        shape: see `CalmShape`.
        mean: (dim,) mean of train frames.
        scale: (dim,) standard deviation of train frames.
    """
    head = CALM_HEADS[shape.head.kind](shape.head, shape.dim, shape.width, shape.width)
    return Predictor(Whitening(mean, scale.square().diag()), Conditioning(shape, mean, scale), head)


def head_of(model: Predictor) -> CalmHead:
    """Give the head of a CALM.

    Raises:
        TypeError: the model is another predictor.
    """
    if not isinstance(model.head, CalmHead):
        raise TypeError(f"{type(model.head).__name__}: is no head of CALM")
    return model.head


def moments(data: Sequences) -> tuple[Tensor, Tensor]:
    """Compute the (dim,) mean and the (dim,) standard deviation of train frames."""
    train = data.select("train")
    frames = train.frames[~train.gated].double()
    return frames.mean(0).float(), frames.std(0).float()


def parameters_of(*modules: nn.Module) -> int:
    """Count the trained parameters."""
    return sum(p.numel() for module in modules for p in module.parameters())


def matched(shape: CalmShape, parameters: int) -> CalmShape:
    """Choose the width at which the number of parameters is nearest to `parameters`.

    Args:
        shape: the shape, whose width is ignored.
        parameters: the number of parameters to come near to.
    """
    unit = torch.ones(shape.dim)

    def above(width: int) -> int:
        return parameters_of(make_calm(replace(shape, width=width), unit, unit)) - parameters

    after = bisect_left(WIDTHS, 0, hi=len(WIDTHS) - 1, key=above)
    return replace(
        shape, width=min(WIDTHS[max(0, after - 1) : after + 1], key=lambda w: abs(above(w)))
    )


class CalmTraining(nn.Module):
    """A CALM in the form that the training loop needs: it maps a batch to losses of its frames.

    In evaluation, the loss is the energy score of two draws for every frame, always with the same
    noise. It is unweighted, proper and the same for all heads. The consistency error is none of
    these: it is zero for a head whose output is constant.

    Args:
        model: the model to train.
        steps: number of steps of the whole training.
    """

    def __init__(self, model: Predictor, steps: int) -> None:
        super().__init__()
        self.model, self.steps = model, steps
        self.course = Course()

    def forward(self, batch: Batch) -> Tensor:
        """Compute the (scored,) losses of the scored frames."""
        target = self.model.whitening.whiten(batch.target[batch.scored])
        features = self.model.trunk.features(batch)
        head = head_of(self.model)
        if self.training:
            loss = head.losses(features, target, len(self.course.error) / self.steps)
            self.course.note(loss.weighted.mean().item(), loss.error.mean().item())
            return loss.weighted
        with draws_of(EVALUATION_SEED):
            return energy_of_pair(head.generate(features), head.generate(features), target)


@dataclass
class Course:
    """The course of training, step by step.

    Attributes:
        weighted: the minimised loss.
        error: the unweighted error.
    """

    weighted: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)

    def note(self, weighted: float, error: float) -> None:
        """Add one step."""
        self.weighted.append(weighted)
        self.error.append(error)


def save_calm(model: Predictor, shape: CalmShape, path: Path) -> None:
    """Write the weights and the settings that are needed to build the model again."""
    info = {**asdict(shape), "temperature": head_of(model).temperature}
    write_tensors(path, model.state_dict(), info)


def load_calm(path: Path) -> Predictor:
    """Read what `save_calm` wrote, ready to sample."""
    tensors, info = read_tensors(path)
    temperature, head = info.pop("temperature"), HeadShape(**info.pop("head"))
    unit = torch.ones(info["dim"])
    model = make_calm(CalmShape(head=head, **info), unit, unit)
    model.load_state_dict(tensors)
    head_of(model).temperature = temperature
    return model.eval()
