"""Conditional densities of zuko and sbi, trained on windows of frames for a given time."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mimi_dynamics.density.fit import FitSpec, batches_of

CONTEXT = 8  # frames a rival sees, and frames before the first target of a clip
BATCH = 256
LR = 1e-3
GRADIENT_NORM = 5.0
WARMUP_SHARE = 0.05  # of the time
Options = dict[str, Any]
Loss = Callable[[Tensor, Tensor], Tensor]  # nats of each target, from contexts and targets


@dataclass(frozen=True)
class Windows:
    """The scored targets of one split, in the order in which our densities score them.

    Attributes:
        context: (scored, CONTEXT * dim) the frames before each target, oldest first.
        target: (scored, dim).
    """

    context: Tensor
    target: Tensor

    @classmethod
    def of(cls, job: FitSpec, split: str) -> "Windows":
        """What a rival sees of one split."""
        frames = job.sequences.select(split).frames
        index = torch.cat([batch.frame for batch in batches_of(job, split)])
        past = index[:, None] + torch.arange(-CONTEXT, 0)
        return cls(frames[past].flatten(1), frames[index])

    def standardised(self, train: "Windows") -> "Windows":
        """Every coordinate with mean 0 and variance 1 on `train`."""
        return Windows(
            (self.context - train.context.mean(0)) / train.context.std(0),
            (self.target - train.target.mean(0)) / train.target.std(0),
        )


@dataclass(frozen=True)
class Rival:
    """A density of another library.

    Attributes:
        library: `zuko` or `sbi`.
        family: its name there.
        tries: settings beyond the library's defaults; each try gets the full time.
    """

    library: str
    family: str
    tries: tuple[Options, ...]

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{self.library} {self.family.upper()}"


# As the library has it, and as wide as ours; sbi's mixture has more components than ours as it is.
RIVALS = (
    Rival("zuko", "gmm", ({}, {"components": 8, "hidden_features": (192, 192)})),
    Rival("zuko", "maf", ({}, {"hidden_features": (192, 192)})),
    Rival("zuko", "nsf", ({}, {"hidden_features": (192, 192)})),
    Rival("sbi", "mdn", ({}, {"hidden_features": 192})),
    Rival("sbi", "maf", ({}, {"hidden_features": 192})),
    Rival("sbi", "nsf", ({}, {"hidden_features": 192})),
)


@dataclass(frozen=True)
class Trained:
    """A rival whose time is up.

    Attributes:
        options: it was built with.
        loss: nats of each target, of windows standardised as on train.
        model: its weights.
        validation_nll: nats per frame, standardised.
        epochs: passes over train, the last one not whole.
        seconds: of processor time.
    """

    options: Options
    loss: Loss
    model: nn.Module
    validation_nll: float
    epochs: float
    seconds: float

    @property
    def settings(self) -> str:
        """In a few words."""
        options = [f"{name} {value}" for name, value in self.options.items()]
        return ", ".join([*(options or ["defaults"]), f"{self.epochs:.1f} epochs"])


def train_rival(
    rival: Rival, options: Options, train: Windows, validation: Windows, seconds: float
) -> Trained:
    """Train for `seconds` of processor time, building and validation included.

    AdamW with clipped gradients, a short warm-up and a cosine that reaches zero when the time is
    up, whatever the number of steps; the weights that validation likes best are kept.

    Args:
        rival: which one.
        options: one of its tries.
        train: standardised.
        validation: standardised.
        seconds: the budget.
    """
    start = time.process_time()
    model, loss = BUILDERS[rival.library](rival.family, options, train)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, fused=True)
    checked = time.process_time()
    best_loss, best_state = mean_loss(model, loss, validation), copy.deepcopy(model.state_dict())
    stop = start + seconds - (time.process_time() - checked)  # leaves time for the last check
    rows, share = 0, 0.0
    while share < 1:
        model.train()
        for chosen in torch.randperm(len(train.target)).split(BATCH):
            share = (time.process_time() - start) / (stop - start)
            if share >= 1:
                break
            optimizer.param_groups[0]["lr"] = LR * schedule(share)
            optimizer.zero_grad()
            loss(train.context[chosen], train.target[chosen]).mean().backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
            if torch.isfinite(norm):  # one bad batch does not end a rival
                optimizer.step()
            rows += len(chosen)
        validation_loss = mean_loss(model, loss, validation)
        if validation_loss < best_loss:
            best_loss, best_state = validation_loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    elapsed = time.process_time() - start
    return Trained(options, loss, model, best_loss, rows / len(train.target), elapsed)


def schedule(share: float) -> float:
    """Share of the peak learning rate after this share of the time."""
    return min(1.0, share / WARMUP_SHARE) * 0.5 * (1 + math.cos(math.pi * share))


def losses(model: nn.Module, loss: Loss, windows: Windows) -> Tensor:
    """(scored,) nats of each target, without gradients."""
    model.eval()
    parts = zip(windows.context.split(1024), windows.target.split(1024), strict=True)
    with torch.no_grad():
        return torch.cat([loss(context, target) for context, target in parts])


def mean_loss(model: nn.Module, loss: Loss, windows: Windows) -> float:
    """Mean nats per target."""
    return losses(model, loss, windows).double().mean().item()


def build_zuko(family: str, options: Options, train: Windows) -> tuple[nn.Module, Loss]:
    """A density of zuko; mixtures start from k-means, as its `initialize` offers."""
    import zuko

    families = {"gmm": zuko.mixtures.GMM, "maf": zuko.flows.MAF, "nsf": zuko.flows.NSF}
    model = families[family](train.target.shape[1], train.context.shape[1], **options)
    if family == "gmm":
        model.initialize(train.target, "kmeans")
    return model, lambda context, target: -model(context).log_prob(target)


def build_sbi(family: str, options: Options, train: Windows) -> tuple[nn.Module, Loss]:
    """A density of sbi, as its inference by neural posteriors builds it."""
    from sbi.neural_nets import posterior_nn

    model = posterior_nn(family, **options)(train.target, train.context)
    return model, lambda context, target: model.loss(target, context)


BUILDERS = {"zuko": build_zuko, "sbi": build_sbi}
