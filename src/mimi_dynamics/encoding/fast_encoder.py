"""moshi's SEANet encoder as plain matrix products, which take less time for the same sums on a CPU.

Here a signal is a matrix with one row of channels for each step. A causal convolution with stride s
is then a sum of kernel / s matrix products. They need no copies, since s rows that follow one
another in memory are also one row of s * channels numbers. Biases, residuals and padding cost no
extra time, since they are already in the matrix to which the products are added.
"""

from typing import cast

import torch
from moshi.modules.conv import StreamingConv1d
from moshi.modules.seanet import SEANetEncoder, SEANetResnetBlock
from torch import Tensor, nn
from torch.nn import functional


class MatrixEncoder(nn.Module):
    """A `SEANetEncoder` that does not stream, with the weights of another one.

    Attributes:
        first: the first convolution.
        inner: the first convolution of each residual block.
        outer: the second convolution of each residual block.
        downs: the convolution after each residual block, and the last one.
    """

    def __init__(self, encoder: SEANetEncoder) -> None:
        """Take over the weights of `encoder`, whose kernels must be multiples of their strides."""
        super().__init__()
        first, *layers, _, last = encoder.model
        blocks = [layer for layer in layers if isinstance(layer, SEANetResnetBlock)]
        downs = [layer for layer in layers if hasattr(layer, "conv")]
        self.first = MatrixConv(_wrapped(first))
        self.inner = nn.ModuleList(MatrixConv(_wrapped(block.block[1])) for block in blocks)
        self.outer = nn.ModuleList(MatrixConv(_wrapped(block.block[3])) for block in blocks)
        self.downs = nn.ModuleList(MatrixConv(_wrapped(layer)) for layer in (*downs, last))

    def forward(self, audio: Tensor) -> Tensor:
        """Encode `audio` (clips, 1, samples) as (clips, dim, steps); samples = 960 * steps."""
        return torch.stack([self._encode(clip) for clip in audio[:, 0]]).transpose(1, 2)

    def _encode(self, clip: Tensor) -> Tensor:
        padded = functional.pad(clip, (self.first.padding, 0))
        # The audio has a single channel, so rows of channels would be of no use for this layer.
        windows = padded.unfold(0, self.first.padding + 1, 1)
        lists = self.inner, self.outer, self.downs
        inners, outers, downs = (cast("list[MatrixConv]", list(of)) for of in lists)
        x = downs[0].room_for(len(clip))
        stream = x[downs[0].padding :]
        torch.addmm(self.first.bias, windows, torch.cat(list(self.first.taps)), out=stream)
        for inner, outer, down, after in zip(inners, outers, downs, downs[1:], strict=False):
            hidden = inner(functional.elu(x[down.padding - inner.padding :]))
            outer.add_to(stream, functional.elu_(hidden))
            x, before = after.room_for(len(stream) // down.stride), functional.elu_(x)
            stream = x[after.padding :]
            down.add_to(stream, before)
        return downs[-1](functional.elu_(x))


def _wrapped(layer: nn.Module) -> nn.Conv1d:
    """Give the convolution that moshi wraps twice, once to stream and once to normalise."""
    if not isinstance(layer, StreamingConv1d) or not isinstance(layer.conv.conv, nn.Conv1d):
        raise TypeError(f"{type(layer).__name__} wraps no convolution")
    return layer.conv.conv


class MatrixConv(nn.Module):
    """A causal convolution of a matrix with one row for each step.

    Attributes:
        taps: kernel / stride matrices (stride * inputs, outputs).
        bias: (outputs,).
        stride: number of rows from one output to the next.
        padding: number of rows of zeros that it needs before the first row.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        """Take over the weights of `conv`."""
        super().__init__()
        if conv.bias is None:
            raise TypeError("a convolution without a bias")
        outputs, inputs, kernel = conv.weight.shape
        self.stride = conv.stride[0]
        self.padding = kernel - self.stride
        taps = conv.weight.permute(2, 1, 0).reshape(-1, self.stride * inputs, outputs)
        self.taps = nn.ParameterList(nn.Parameter(tap.contiguous(), False) for tap in taps)
        self.bias = conv.bias

    def room_for(self, rows: int) -> Tensor:
        """Make a zero matrix (padding + rows, inputs), whose last `rows` rows are to be filled."""
        inputs = self.taps[0].shape[0] // self.stride
        return self.bias.new_zeros(self.padding + rows, inputs)

    def forward(self, padded: Tensor) -> Tensor:
        """Convolve `padded` (padding + rows, inputs), and give (rows / stride, outputs)."""
        rows = (len(padded) - self.padding) // self.stride
        out = padded.new_zeros(rows, len(self.bias))
        self.add_to(out, padded)
        return out

    def add_to(self, out: Tensor, padded: Tensor) -> None:
        """Add the convolution of `padded` to `out` (rows / stride, outputs), in place."""
        rows = padded.view(-1, self.taps[0].shape[0])
        out += self.bias
        for number, tap in enumerate(self.taps):
            out.addmm_(rows[number : number + len(out)], tap)
