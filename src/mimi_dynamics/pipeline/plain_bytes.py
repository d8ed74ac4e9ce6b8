"""Send values between processes as plain bytes.

torch sends tensors between processes by shared memory and by one open file for each tensor. `calm`
then needed 2,158 open files, where Linux allows 1,024, and `controls` more shared memory than the
64 MB that Docker gives.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import torch

Value = TypeVar("Value")


class PlainBytes(Generic[Value]):
    """Wraps a value that is to be sent; at the other end it arrives as the value itself.

    The value is turned into bytes only when it is sent, so that of many waiting jobs only a few
    are in memory twice.
    """

    def __init__(self, value: Value) -> None:
        self._value = value

    @staticmethod
    def round_trip(value: Value) -> Value:
        """Give what would arrive."""
        return pickle.loads(pickle.dumps(PlainBytes(value)))

    def __reduce__(self) -> tuple[Callable[[bytes], Value], tuple[bytes]]:
        """Replace this object by its value on arrival."""
        buffer = io.BytesIO()
        _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(self._value)
        return pickle.loads, (buffer.getvalue(),)


class _Pickler(pickle.Pickler):
    """Writes of a tensor only the elements that it shows.

    By default all memory behind a view is written, once for each view: a list of 1,000 clips out of
    one long tensor would be written as 1,000 long tensors.
    """

    def reducer_override(self, value: object) -> Any:  # noqa: ANN401
        if type(value) is not torch.Tensor or value.layout != torch.strided:
            return NotImplemented
        if value.device.type != "cpu" or value.requires_grad:
            return NotImplemented
        order = sorted(range(value.ndim), key=value.stride, reverse=True)
        dense = value.permute(order).contiguous().resolve_conj().resolve_neg()
        elements = dense.flatten().view(torch.uint8).numpy().tobytes()
        return _tensor, (elements, value.dtype, dense.shape, order)


def _tensor(
    elements: bytes, dtype: torch.dtype, shape: torch.Size, order: list[int]
) -> torch.Tensor:
    """Build a tensor with its dimensions in the same order in memory: sums depend on that too."""
    if not elements:
        return torch.empty(shape, dtype=dtype).permute(np.argsort(order).tolist())
    # The copy can be written to, and starts where torch's own tensors do: some sums depend on that.
    dense = torch.frombuffer(bytearray(elements), dtype=dtype).clone().reshape(shape)
    return dense.permute(np.argsort(order).tolist())
