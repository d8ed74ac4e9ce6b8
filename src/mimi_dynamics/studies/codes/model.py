"""A small causal model of a codec's codes, over frames and over the codebooks of a frame.

The probability of a frame's codes is the product over codebooks of p(code | all codes of earlier
frames, earlier codes of the same frame), as in the RQ-Transformer (Lee et al. 2022, arXiv
2203.01941): a large step over frames, then small ones within the frame.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from mimi_dynamics.density.trunk import NoPast, Trunk, feature_count
from mimi_dynamics.density.var import Var
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.studies.codes.data import add_vectors

LAYERS = 2  # within a frame


class CodeModel(nn.Module):
    """Codes given the codes of earlier frames, and given the earlier codes of the same frame.

    Codes are seen by the vectors that they stand for, and each code is scored by the product of its
    vector and what is expected: of two codes that sound alike, both become likely. Nothing of the
    past is known at first, and the model starts as the frequencies it is given.

    Args:
        vectors: (codebooks, bins, dim) what each code adds to a frame; they are not trained.
        log_frequencies: (codebooks, bins) log-probabilities that the model starts with, in nats.
        width: number of features.
        dropout: share of the features that are dropped in training.
    """

    vectors: Tensor

    def __init__(
        self, vectors: Tensor, log_frequencies: Tensor, width: int, dropout: float
    ) -> None:
        super().__init__()
        codebooks, _, dim = vectors.shape
        self.register_buffer("vectors", vectors)
        self.trunk: Trunk | NoPast = NoPast(feature_count(dim, width))
        self.past = nn.Linear(self.trunk.width, width)
        self.earlier = nn.Linear(dim, width)
        self.codebook = nn.Parameter(torch.zeros(codebooks, width))
        self.layers = nn.ModuleList(Layer(width, dropout) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(width)
        self.expected = nn.Parameter(torch.zeros(codebooks, width, dim))
        self.bias = nn.Parameter(log_frequencies.clone())

    def with_past(self, var: Var, width: int, dropout: float) -> "CodeModel":
        """Give a copy that sees earlier frames, and that says the same as this one at first.

        Args:
            var: a VAR of the sums of vectors, whose forecast the copy is given.
            width: number of features of the model.
            dropout: share of the features of the past that are dropped in training.
        """
        model = copy.deepcopy(self)
        model.trunk = Trunk(var, width, dropout, 0)
        return model

    def forward(self, batch: Batch) -> Tensor:
        """Give the (scored,) losses: minus the log-probability of all codes of a frame, in nats."""
        return -self.log_probs(batch).sum(1)

    def log_probs(self, batch: Batch) -> Tensor:
        """Give the log-probability of every code of every scored frame, in nats.

        Args:
            batch: frames whose coordinates are their codes, as numbers.

        Returns:
            (scored, codebooks)
        """
        frames = add_vectors(self.vectors, batch.context.long())
        past = self.past(self.trunk.features(batch._replace(context=frames)))
        codes = batch.target[batch.scored].long()
        own = torch.stack([of[codes[:, at]] for at, of in enumerate(self.vectors)], 1)
        # The sum of all vectors less a code's own would still hold a rounding error made by it.
        earlier = functional.pad(own.cumsum(1)[:, :-1], (0, 0, 1, 0))
        state = past[:, None] + self.earlier(earlier) + self.codebook
        for layer in self.layers:
            state = layer(state)
        expected = torch.einsum("fcw,cwd->fcd", self.norm(state), self.expected)
        logits = torch.einsum("fcd,cbd->fcb", expected, self.vectors) + self.bias
        return logits.log_softmax(-1).gather(2, codes[..., None])[..., 0]


class Layer(nn.Module):
    """A residual layer with one hidden layer.

    Args:
        width: number of features.
        dropout: share of the hidden features that are dropped in training.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )

    def forward(self, state: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        return state + self.change(state)
