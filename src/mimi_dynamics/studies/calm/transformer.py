"""A causal transformer over frames that can continue, frame by frame, from where it left off."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mimi_dynamics.density.trunk import State

HEADS = 2
EXPANSION = 4
ROTARY_PERIOD = 10_000.0  # the longest period, in frames


class CausalTransformer(nn.Module):
    """Pre-norm blocks with rotary positions; a frame sees itself and `context` − 1 before it.

    This holds for each layer. With one layer, exactly `context` frames count; with more layers,
    earlier frames also count, through those in between.

    Args:
        dim: number of coordinates of a frame.
        width: number of features, a multiple of twice `HEADS`.
        layers: number of blocks.
        context: number of frames that a layer sees.
        dropout: dropout rate, in training, of what each half of a block adds.
    """

    def __init__(self, dim: int, width: int, layers: int, context: int, dropout: float) -> None:
        super().__init__()
        self.inputs = nn.Linear(dim, width)
        self.blocks = nn.ModuleList([Block(width, context, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    @property
    def state_size(self) -> int:
        """The number of tensors in a state: one that counts frames, and one for every block."""
        return 1 + len(self.blocks)

    def step(self, frames: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Map (clips, time, dim) frames to (clips, time, width), and give the new state.

        Args:
            frames: (clips, time, dim) the next frames of each clip.
            state: the state after the frames before them; None at the start of clips.
        """
        hidden = self.inputs(frames)
        rows, time, _ = frames.shape
        known = frames.new_zeros(rows, 1) if state is None else state[0]
        memories = [None] * len(self.blocks) if state is None else state[1:]
        position = known + torch.arange(time, device=frames.device)
        after = [known + time]
        for block, memory in zip(self.blocks, memories, strict=True):
            hidden, memory = block(hidden, position, memory)
            after.append(memory)
        return self.norm(hidden), after


class Block(nn.Module):
    """Attention over a window of frames, then a multilayer perceptron, both residual.

    Args:
        width: number of features.
        context: number of frames in the window, including the newest.
        dropout: dropout rate of what is added.
    """

    def __init__(self, width: int, context: int, dropout: float) -> None:
        super().__init__()
        self.context = context
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.outputs = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, EXPANSION * width), nn.SiLU(), nn.Linear(EXPANSION * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, hidden: Tensor, position: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Give the (clips, time, width) output, and the keys and values that later frames need.

        Args:
            hidden: (clips, time, width) input.
            position: (clips, time) number of frames of the clip before each frame.
            memory: (clips, context − 1, 2 width) keys and values of the frames before; None at the
                start.
        """
        query, key, value = self.queries_keys_values(self.before_attention(hidden)).chunk(3, -1)
        known = torch.cat([rotate(key, position), value], -1)
        if memory is not None:
            known = torch.cat([memory, known], 1)
        keys, values = (split_heads(part) for part in known.chunk(2, -1))
        mask = visible(position, known.shape[1], self.context)
        seen = functional.scaled_dot_product_attention(
            split_heads(rotate(query, position)), keys, values, attn_mask=mask
        )
        hidden = hidden + self.dropout(self.outputs(seen.transpose(1, 2).flatten(2)))
        hidden = hidden + self.dropout(self.mlp(self.before_mlp(hidden)))
        missing = max(0, self.context - 1 - known.shape[1])
        memory = functional.pad(known, (0, 0, missing, 0))
        return hidden, memory[:, memory.shape[1] - (self.context - 1) :]


def visible(position: Tensor, known: int, context: int) -> Tensor:
    """Make the (clips, 1, time, known) mask of the known frames that each new frame sees.

    A frame sees no later frames, no frames outside its window and no frames before the clip.

    Args:
        position: (clips, time) number of frames of the clip before each new frame.
        known: number of known frames, of which the new ones are the last.
        context: number of frames in the window, including the newest.
    """
    age = (position[:, -1:] - position)[..., None]  # distance of each new frame from the newest one
    slot = torch.arange(known - 1, -1, -1, device=position.device)  # the same for known frames
    distance = slot - age
    return ((distance >= 0) & (distance < context) & (distance <= position[..., None]))[:, None]


def split_heads(features: Tensor) -> Tensor:
    """Split features by head into (clips, heads, time, width / heads)."""
    return features.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def rotate(features: Tensor, position: Tensor) -> Tensor:
    """Rotate (clips, time, width) features by position in each head (Su et al. 2021).

    Args:
        features: (clips, time, width) features.
        position: (clips, time) number of frames of the clip before each frame.
    """
    half = features.shape[-1] // HEADS // 2
    rates = torch.exp(torch.arange(half, device=features.device) * -math.log(ROTARY_PERIOD) / half)
    angle = (position[..., None] * rates)[:, :, None]
    first, second = features.unflatten(-1, (HEADS, 2, half)).unbind(-2)
    cos, sin = angle.cos(), angle.sin()
    turned = torch.stack([first * cos - second * sin, first * sin + second * cos], -2)
    return turned.flatten(-3)
