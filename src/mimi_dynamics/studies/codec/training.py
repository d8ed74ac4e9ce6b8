"""One leg of the training of mimi-mini: its steps, and checkpoints from which it resumes exactly.

The randomness of a step depends only on the leg's seed, the step's number and the process. The
recipe is that of Mimi without its adversarial losses and its distillation (arXiv 2410.00037,
section 3.3): half of the sequences pass unquantised, codebooks follow the data by a moving average,
and later codebooks are dropped at random.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch
from moshi.quantization.core_vq import EuclideanCodebook
from moshi.quantization.vq import SplitResidualVectorQuantizer
from torch import Tensor, nn

from mimi_dynamics.codec.base import FRAME_SIZE, initialise
from mimi_dynamics.codec.log_mel import reconstruction_loss, reconstruction_terms
from mimi_dynamics.codec.mimi_mini import build_mini
from mimi_dynamics.pipeline.distributed import all_reduce_mean, rank, world_size
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import LegParams, MiniParams
from mimi_dynamics.pipeline.tensors import read_tensors, sha256_of_tensors, write_tensors
from mimi_dynamics.studies.codec.speech import draw_segments

BETAS = (0.8, 0.99)
COMMITMENT_WEIGHT = 0.25
WARMUP_SHARE = 0.03
MAX_GRADIENT_NORM = 1.0
LOG_ROWS = 400


class CodecTraining:
    """A leg in training; each call of `step` continues from the state that the last one left.

    Processes of a group share every batch; all of them have the same model after each step.

    Attributes:
        model: the moshi model, in training mode.
        start: hash of the weights that the leg began with.
        steps_done: number of finished steps.
        log: one row for every `log_every` steps, with the step and the mean losses since the last
            row, over the clips of this process.
    """

    def __init__(
        self,
        params: MiniParams,
        leg: LegParams,
        audio: np.ndarray,
        start: Mapping[str, Tensor] | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Begin a leg.

        Args:
            params: the shape of the model.
            leg: settings of the training.
            audio: int16 (samples,) at 24 kHz, all training speech joined together. Segments may
                span two clips: for a causal codec this is only one more onset.
            start: the weights to begin with, by name; None = new ones, drawn by the leg's seed.
            device: where to train; None = on the processor.

        Raises:
            InputError: if the speech is shorter than one segment, or a batch cannot be shared out.
        """
        if len(audio) < params.clip_frames * FRAME_SIZE:
            raise InputError("codec.mini.corpora: their train speech is shorter than one segment")
        if leg.batch_clips % world_size():
            raise InputError(
                f"codec.mini.legs: batch_clips = {leg.batch_clips}: must be a multiple of the "
                f"number of processes, {world_size()}"
            )
        self.params, self.leg, self.audio = params, leg, audio
        self.device = device or torch.device("cpu")
        self.steps_done = 0
        self.log: list[dict[str, float]] = []
        self.log_every = max(1, leg.steps // LOG_ROWS)
        torch.manual_seed(leg.seed)
        self.model = build_mini(params).train()
        if start is None:
            initialise(self.model)
        else:
            self.model.load_state_dict({name: tensor.float() for name, tensor in start.items()})
        self.start = sha256_of_tensors(self.model.state_dict() if start is None else start)
        self.model.to(self.device)
        self._codebooks = [m for m in self.model.modules() if isinstance(m, EuclideanCodebook)]
        self._parameters = dict(self.model.named_parameters())
        self._optimizer = torch.optim.Adam(self._parameters.values(), lr=leg.lr, betas=BETAS)
        self._average = _copies(self._parameters) if leg.average else {}
        self._sums: dict[str, float] = {}

    def step(self) -> dict[str, float]:
        """Train on one batch and give its losses by name, over the clips of this process."""
        seed = _seed(self.leg.seed, self.steps_done)
        batch = self._draw(seed)
        torch.manual_seed(_seed(self.leg.seed, self.steps_done, rank()) if rank() else seed)
        cast("SplitResidualVectorQuantizer", self.model.quantizer).rvq_rest.rng_dropout.seed(seed)
        for group in self._optimizer.param_groups:
            group["lr"] = self.leg.lr * _schedule(self.steps_done, self.leg.steps)
        result = self.model(batch[:, None])
        terms = reconstruction_terms(result.x[:, 0], batch)
        loss = reconstruction_loss(terms) + COMMITMENT_WEIGHT * result.penalty
        self._optimizer.zero_grad()
        loss.backward()
        self._share_gradients()
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._detach_codebooks()
        for name, average in self._average.items():
            average.lerp_(self._parameters[name].detach(), 1 - self.leg.average)
        self.steps_done += 1
        losses = {name: term.item() for name, term in terms.items()}
        losses |= {"commitment": result.penalty.item(), "gradient_norm": norm.item()}
        self._record(losses)
        return losses

    def weights(self) -> dict[str, Tensor]:
        """Give the model's state, with the moving average of its weights if the leg has one."""
        return self.model.state_dict() | self._average

    def _draw(self, seed: int) -> Tensor:
        """Give this process's clips of the batch, which is the same however many processes are."""
        size = self.leg.batch_clips, self.params.clip_frames
        batch = draw_segments(self.audio, *size, np.random.default_rng(seed))
        return batch[rank() :: world_size()].to(self.device)

    def _share_gradients(self) -> None:
        if world_size() == 1:
            return
        parameters = self._parameters.values()
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        mean = all_reduce_mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = mean.split([parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def _detach_codebooks(self) -> None:
        # moshi writes samples that carry gradients into these buffers, so that each step would keep
        # the graph of the step before it in memory: 12 MB for each step.
        for codebook in self._codebooks:
            codebook.embedding_sum = codebook.embedding_sum.detach()

    def _record(self, losses: dict[str, float]) -> None:
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self.steps_done % self.log_every == 0:
            means = {name: total / self.log_every for name, total in self._sums.items()}
            self.log.append({"step": self.steps_done, **means})
            self._sums = {}

    def save(self, path: Path) -> None:
        """Write everything that `restore` needs, atomically."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self._average.items()}
        for name, parameter in self._parameters.items():
            for key, value in self._optimizer.state[parameter].items():
                tensors[f"optimizer.{key}.{name}"] = value
        info = {
            "fingerprint": self.fingerprint,
            "steps_done": self.steps_done,
            "log": self.log,
            "sums": self._sums,
            "unused_checks": [codebook._next_unused_check for codebook in self._codebooks],
        }
        write_tensors(path, tensors, info)

    def restore(self, path: Path) -> bool:
        """Continue from the checkpoint at `path`, if there is one from this same training.

        Returns:
            Whether there was such a checkpoint.
        """
        if not path.exists():
            return False
        tensors, info = read_tensors(path)
        if info.get("fingerprint") != self.fingerprint:
            return False
        self.model.load_state_dict(_below("model.", tensors))
        for name, average in _below("average.", tensors).items():
            self._average[name] = average.to(self.device)
        for key in ("step", "exp_avg", "exp_avg_sq"):
            for name, value in _below(f"optimizer.{key}.", tensors).items():
                # Adam counts its steps on the processor.
                device = value.device if key == "step" else self.device
                self._optimizer.state[self._parameters[name]][key] = value.to(device)
        for codebook, check in zip(self._codebooks, info["unused_checks"], strict=True):
            codebook._next_unused_check = check
            # This buffer is not saved with the model; moshi computes it again if it is None.
            codebook.register_buffer("_embedding", None, persistent=False)
        self.steps_done, self.log, self._sums = info["steps_done"], info["log"], info["sums"]
        return True

    @cached_property
    def fingerprint(self) -> str:
        """A hash that identifies the leg by its settings, start, audio and number of processes."""
        shape = self.params.model_dump(exclude={"legs"})
        settings = [shape, self.leg.model_dump(), self.start, world_size()]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(self.audio.data)
        return digest.hexdigest()


def _copies(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): tensor for n, tensor in tensors.items() if n.startswith(prefix)}


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _schedule(step: int, steps: int) -> float:
    """Give the factor of the learning rate: a linear warm-up, then half a cosine down to 0."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
