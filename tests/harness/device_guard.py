"""What models must keep to so that they work on any device, as it can be seen on a CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

FACTORIES = _device_constructors()  # what makes a new tensor
# Torch knows a device of this name, and needs nothing else for tensors that have no numbers.
ELSEWHERE = torch.device("lazy", 0)


class DeviceGuard(TorchFunctionMode):
    """Inside the `with` block, whatever makes a new tensor must be told its device.

    A tensor made without one is on the CPU, and does not mix with those of a model on a GPU. Draws
    of a generator that is given are let through: they are where the generator is.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Check a call, and make it.

        Raises:
            AssertionError: it makes a tensor and does not say on which device.
        """
        given = kwargs or {}
        told = given.get("device") is not None or given.get("generator") is not None
        if function in FACTORIES and not told:
            raise AssertionError(f"torch.{function.__name__} is called without device=")
        return function(*args, **given)


class _Held(nn.Module):
    def __init__(self, model: nn.Module, work: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.work = model, work

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.work(*inputs)


def elsewhere(model: nn.Module, work: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Do work with a model as if it, and the inputs, were on a device that is not the CPU.

    Nothing is computed: tensors have shapes and devices, but no numbers (torch's fake tensors).

    Args:
        model: holds all weights that the work uses.
        work: a function of `inputs`.
        inputs: the tensors to move.

    Raises:
        RuntimeError: tensors of both devices were mixed.
    """
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)

    def moved(tensor: Tensor) -> Tensor:
        return FakeTensor(mode, tensor.detach().to("meta"), ELSEWHERE)

    held = _Held(model, work)
    weights = {name: moved(tensor) for name, tensor in held.state_dict().items()}
    given = tuple(map(moved, inputs))
    with mode, torch.no_grad():
        return torch.func.functional_call(held, weights, given, tie_weights=False)
