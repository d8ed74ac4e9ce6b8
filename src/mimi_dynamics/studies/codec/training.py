"""Training of mimi-mini: spectral losses, and checkpoints from which training resumes exactly.

The randomness of a step depends only on the seed and on its number. The recipe is that of Mimi
without its adversarial losses and its distillation (arXiv 2410.00037, section 3.3): half of the
sequences pass unquantised, codebooks follow the data by a moving average, and later codebooks are
dropped at random.
"""

import hashlib
import json
import math
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from moshi.quantization.core_vq import EuclideanCodebook
from torch import nn
from tqdm import tqdm

from mimi_dynamics.codec.base import FRAME_SIZE, initialise
from mimi_dynamics.codec.log_mel import reconstruction_loss, reconstruction_terms
from mimi_dynamics.codec.mimi_mini import build_mini
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path
from mimi_dynamics.pipeline.params import IngestParams, MiniParams
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors
from mimi_dynamics.speech.ingestion import ingest_corpora

BETAS = (0.8, 0.99)
COMMITMENT_WEIGHT = 0.25
WARMUP_SHARE = 0.03
MAX_GRADIENT_NORM = 1.0
GAIN_DB = 6.0
CHECKPOINT_EVERY = 200
LOG_ROWS = 400


class CodecTraining:
    """A mimi-mini in training; each call of `step` continues from the state that the last one left.

    Attributes:
        model: the moshi model, in training mode.
        steps_done: number of finished steps.
        log: one row for every `log_every` steps, with the step and the mean losses since the last
            row.
    """

    def __init__(self, params: MiniParams, audio: np.ndarray) -> None:
        """Start a new training.

        Args:
            params: shape of the model and settings of the training.
            audio: int16 (samples,) at 24 kHz, all training speech joined together. Segments may
                span two clips: for a causal codec this is only one more onset.

        Raises:
            InputError: if the speech is shorter than one segment.
        """
        if len(audio) < params.clip_frames * FRAME_SIZE:
            raise InputError("codec.mini.corpora: their train speech is shorter than one segment")
        self.params = params
        self.audio = audio
        self.steps_done = 0
        self.log: list[dict[str, float]] = []
        self.log_every = max(1, params.steps // LOG_ROWS)
        torch.manual_seed(params.seed)
        self.model = build_mini(params).train()
        initialise(self.model)
        self._codebooks = [m for m in self.model.modules() if isinstance(m, EuclideanCodebook)]
        self._parameters = dict(self.model.named_parameters())
        self._optimizer = torch.optim.Adam(self._parameters.values(), lr=params.lr, betas=BETAS)
        self._sums: dict[str, float] = {}

    def step(self) -> dict[str, float]:
        """Train on one batch and give its losses by name."""
        seed = _step_seed(self.params.seed, self.steps_done)
        batch = draw_segments(self.audio, self.params, np.random.default_rng(seed))
        torch.manual_seed(seed)
        self.model.quantizer.rvq_rest.rng_dropout.seed(seed)
        for group in self._optimizer.param_groups:
            group["lr"] = self.params.lr * _schedule(self.steps_done, self.params.steps)
        result = self.model(batch[:, None])
        terms = reconstruction_terms(result.x[:, 0], batch)
        loss = reconstruction_loss(terms) + COMMITMENT_WEIGHT * result.penalty
        self._optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._detach_codebooks()
        self.steps_done += 1
        losses = {name: term.item() for name, term in terms.items()}
        losses |= {"commitment": result.penalty.item(), "gradient_norm": norm.item()}
        self._record(losses)
        return losses

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
        prefix = "model."
        self.model.load_state_dict(
            {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        )
        for name, parameter in self._parameters.items():
            keys = ("step", "exp_avg", "exp_avg_sq")
            self._optimizer.state[parameter] = {
                key: tensors[f"optimizer.{key}.{name}"] for key in keys
            }
        for codebook, check in zip(self._codebooks, info["unused_checks"], strict=True):
            codebook._next_unused_check = check
            # This buffer is not saved with the model; moshi computes it again if it is None.
            codebook.register_buffer("_embedding", None, persistent=False)
        self.steps_done, self.log, self._sums = info["steps_done"], info["log"], info["sums"]
        return True

    @cached_property
    def fingerprint(self) -> str:
        """A hash that identifies the training by its parameters and its audio."""
        digest = hashlib.sha256(json.dumps(self.params.model_dump(), sort_keys=True).encode())
        digest.update(memoryview(self.audio))
        return digest.hexdigest()


def train_codec(params: MiniParams, audio: np.ndarray, folder: Path) -> CodecTraining:
    """Train mimi-mini to its last step, from the checkpoint in `folder` if there is one.

    A training that was interrupted and resumed gives the same steps as one that was not.

    Args:
        params: shape of the model and settings of the training.
        audio: see `CodecTraining`.
        folder: the folder of the checkpoint.
    """
    training = CodecTraining(params, audio)
    checkpoint = folder / "checkpoint.safetensors"
    if training.restore(checkpoint):
        print(f"going on from {checkpoint}, step {training.steps_done}", flush=True)
    with tqdm(
        desc="codec",
        total=params.steps,
        initial=training.steps_done,
        unit="step",
        mininterval=10,
    ) as bar:
        while training.steps_done < params.steps:
            training.step()
            bar.update()
            if training.steps_done % CHECKPOINT_EVERY == 0 or training.steps_done == params.steps:
                training.save(checkpoint)
                bar.write(_progress(training))
    return training


def _progress(training: CodecTraining) -> str:
    losses = {name: value for name, value in training.log[-1].items() if name != "step"}
    means = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
    return f"step {training.steps_done}/{training.params.steps} {means}"


def training_speech(ingest: IngestParams, params: MiniParams, folder: Path) -> pd.DataFrame:
    """Give the manifest of the training corpora, as clips in `folder`.

    The corpora are converted only if the folder does not have them yet.
    """
    ingest = ingest.model_copy(update={"corpora": params.corpora})
    # Mirrors and the engine do not change the clips, so they do not change the folder either.
    without = {"mirror", "mirror_url", "engine"}
    settings = json.dumps(ingest.model_dump(exclude=without), sort_keys=True)
    speech = folder / f"speech-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    if not (speech / "manifest.parquet").exists():
        manifest, _ = ingest_corpora(ingest, speech / "audio")
        with atomic_path(speech / "manifest.parquet") as temporary:
            manifest.to_parquet(temporary)
    return pd.read_parquet(speech / "manifest.parquet")


def join_speech(manifest: pd.DataFrame) -> np.ndarray:
    """Read all clips of `manifest` into one int16 (samples,) array at 24 kHz: 173 MB per hour."""
    return np.concatenate([soundfile.read(path, dtype="int16")[0] for path in manifest["path"]])


def draw_segments(
    audio: np.ndarray, params: MiniParams, generator: np.random.Generator
) -> torch.Tensor:
    """Draw random segments of audio, each at a random level.

    Args:
        audio: int16 (samples,) at 24 kHz, all training speech.
        params: settings with the number and the length of segments.
        generator: draws starts and levels.

    Returns:
        (batch_clips, clip_frames * 1920) samples in float32.
    """
    samples = params.clip_frames * FRAME_SIZE
    starts = generator.integers(0, len(audio) - samples, params.batch_clips, endpoint=True)
    gains = 10 ** (generator.uniform(-GAIN_DB, GAIN_DB, params.batch_clips) / 20)
    segments = np.stack([audio[start : start + samples] for start in starts])
    return torch.from_numpy((segments * (gains[:, None] / 32768)).astype(np.float32))


def _step_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def _schedule(step: int, steps: int) -> float:
    """Give the factor of the learning rate: a linear warm-up, then half a cosine down to 0."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
