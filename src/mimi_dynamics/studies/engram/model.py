"""The predictor with a memory in its trunk, and the controls that the memory has to beat."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from mimi_dynamics.density.predictor import Predictor, make_conditional, make_marginal
from mimi_dynamics.density.trunk import Trunk
from mimi_dynamics.density.var import Var
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, EngramParams, PredictParams
from mimi_dynamics.studies.engram.memory import ORDERS, EngramMemory, Hashing

Variant = Literal["none", "engram", "shuffled_keys", "one_row", "iso_parameter", "iso_flop"]
WITH_MEMORY: tuple[Variant, ...] = ("engram", "shuffled_keys", "one_row")
WIDEST = 1024


class KeyedTrunk(Trunk):
    """A trunk whose input has the key of every frame as its last coordinate.

    Args:
        var: the ridge VAR of the frames without keys.
        width: number of features of the summary.
        dropout: dropout rate of the summary.
        memory: the memory that keys address; without one, keys are ignored.
        context_frames: how many frames the trunk itself looks back, a power of two; 0 means all.
    """

    def __init__(
        self,
        var: Var,
        width: int,
        dropout: float,
        memory: EngramMemory | None,
        context_frames: int = 0,
    ) -> None:
        super().__init__(var, width, dropout, context_frames)
        self.memory = memory
        self.knocked_out = False

    @property
    def its_memory(self) -> EngramMemory:
        """The memory of a trunk that has one.

        Raises:
            TypeError: it has none.
        """
        if self.memory is None:
            raise TypeError("this trunk has no memory")
        return self.memory

    def forward(self, frames: Tensor) -> Tensor:
        """Give (clips, time, features) for (clips, time, dim + 1): frames with their keys."""
        values, keys = frames[..., :-1], frames[..., -1].long()
        if self.memory is None or self.knocked_out:
            return self.step(values, None)[0]
        return self.step(values, None, partial(self.memory, keys))[0]

    def openness(self, batch: Batch) -> Tensor:
        """Give the (scored,) openness of the gate, from 0 to 1, where each target is predicted."""
        openness: list[Tensor] = []
        memory = self.its_memory

        def listen(hidden: Tensor) -> Tensor:
            keys = batch.context[..., -1].long()
            read = memory.tables(memory.hashing(keys)).flatten(-2)
            openness.append(memory.openness(read, hidden)[..., 0])
            return memory(keys, hidden)

        self.step(batch.context[..., :-1], None, listen)
        return openness[0][batch.scored]


@dataclass(frozen=True)
class Shape:
    """What the models of one comparison have in common.

    Attributes:
        var: the ridge VAR of the frames.
        gaussian: the VAR of order 0.
        keys: number of different keys.
        settings: settings of the memory and of its training.
        predict: settings of the estimator, for dropout and the components of the head.
        compute: where to train, and with which number type.
        context_frames: how many frames the trunk looks back, a power of two; 0 means all.
        orders: lengths of the n-grams that address the memory.
    """

    var: Var
    gaussian: Var
    keys: int
    settings: EngramParams
    predict: PredictParams
    compute: ComputeParams = PLAIN
    context_frames: int = 0
    orders: tuple[int, ...] = ORDERS

    def with_rows(self, rows: int) -> "Shape":
        """Give the same shape with tables of another size."""
        return replace(self, settings=self.settings.model_copy(update={"rows": rows}))


def build(shape: Shape, variant: Variant, width: int, seed: int) -> Predictor:
    """Build an untrained model; all models of one seed start from the same trunk and head.

    Args:
        shape: the shape of all models to compare.
        variant: the variant to build.
        width: number of hidden units of trunk and head.
        seed: seed of the weights.
    """
    settings, dropout = shape.settings, shape.predict.dropout
    torch.manual_seed(seed)
    marginal = make_marginal(shape.gaussian, settings.head, width, shape.predict.components)
    plain = make_conditional(marginal, shape.var, width, dropout, shape.context_frames)
    memory = None
    if variant in WITH_MEMORY:
        one_row = variant == "one_row"
        sizes = settings.rows, settings.heads, seed, shape.orders
        hashing = Hashing(shape.keys, *sizes, one_row=one_row)
        memory = EngramMemory(hashing, settings.row_dim, width)
    trunk = KeyedTrunk(shape.var, width, dropout, memory, shape.context_frames)
    trunk.load_state_dict(plain.trunk.state_dict(), strict=False)
    return Predictor(plain.whitening, trunk, plain.head)


def trunk_of(model: nn.Module) -> KeyedTrunk:
    """Give the trunk of a model that `build` gave.

    Raises:
        TypeError: the model is another.
    """
    if not isinstance(model, Predictor) or not isinstance(model.trunk, KeyedTrunk):
        raise TypeError(f"{type(model).__name__}: is no predictor whose frames have keys")
    return model.trunk


def sizes(shape: Shape) -> dict[Variant, int]:
    """Give the width of every variant.

    The dense variants have as many parameters as the memory, or take as much computation.
    """
    width = shape.settings.width
    engram = build(shape, "engram", width, 0)
    tables = trunk_of(engram).its_memory.tables.weight.numel()
    dense = partial(narrowest, shape)
    as_wide: tuple[Variant, ...] = ("none", *WITH_MEMORY)
    return {
        **dict.fromkeys(as_wide, width),
        "iso_parameter": dense(parameters(engram)),
        "iso_flop": dense(parameters(engram) - tables),
    }


def narrowest(shape: Shape, wanted: int) -> int:
    """Find the width at which the plain model has the number of parameters nearest to `wanted`."""
    count = {w: parameters(build(shape, "none", w, 0)) for w in (4, WIDEST)}
    low, high = 4, WIDEST
    while high - low > 1:
        middle = (low + high) // 2
        count[middle] = parameters(build(shape, "none", middle, 0))
        low, high = (middle, high) if count[middle] < wanted else (low, middle)
    return min((low, high), key=lambda width: abs(count[width] - wanted))


def parameters(model: nn.Module) -> int:
    """Count the trained weights."""
    return sum(p.numel() for p in model.parameters())


def make_optimizers(model: nn.Module, lr: float, table_lr: float) -> list[torch.optim.Optimizer]:
    """Give AdamW for dense weights and SparseAdam for tables.

    SparseAdam updates only the rows in use. Tables have a learning rate of their own and no weight
    decay.

    Args:
        model: the model to train.
        lr: learning rate of the dense weights.
        table_lr: learning rate of the tables, as a multiple of `lr`.
    """
    memory = trunk_of(model).memory
    tables = [] if memory is None else [memory.tables.weight]
    dense = [p for p in model.parameters() if all(p is not table for table in tables)]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(dense, lr=lr, fused=True)]
    if tables:
        optimizers.append(torch.optim.SparseAdam(tables, lr=table_lr * lr))
    return optimizers
