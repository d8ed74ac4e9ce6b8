"""What is left of the gain of noise behind a gate, which has no dynamics but the gate's.

    PYTHONPATH=src .venv/bin/python benchmarks/gates.py

White noise, shut off for random times by gates with and without fades and dither, is encoded by
mimi-mini. A small Gaussian density is trained on it four times: with every frame as a target, and
without those that the gate overlaps, or that and some frames beside it. Prints a section, which
--write puts into docs/explanation/gates.md. Takes 20 minutes on one core.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from machine import page_command
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.density.fit import FitSpec
from mimi_dynamics.encoding import frames
from mimi_dynamics.encoding.batches import EncodedArrays, encode_batch
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.gains import Gains, clip_bootstrap, fit_all
from mimi_dynamics.evidence.surrogates import reorderings
from mimi_dynamics.latents.normalizer import fit_normalizer, frames_in_split, normalized_sequences
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import FRAME_RATE
from mimi_dynamics.pipeline.parallel import use_one_thread
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.speech.audio import SAMPLE_RATE, to_pcm
from mimi_dynamics.speech.gates import gated_intervals

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/gates.py --write"
PAGE = Path("docs/explanation/gates.md")
CLIPS, SECONDS, OPEN_SECONDS = 60, 4.0, 0.5
DIM, HEAD = 8, "gaussian"
SMALL = {"width": 32, "epochs": 2, "pretrain_epochs": 1, "min_steps": 120, "bootstrap_samples": 200}
BESIDE = [(0, 0), (1, 1), (frames.FRAMES_BEFORE, frames.FRAMES_AFTER)]


@dataclass(frozen=True)
class Gate:
    """A gate that is shut for random times around a mean, half of the time.

    Attributes:
        seconds: mean time for which it is shut.
        fade: seconds over which it opens and shuts.
        dither: whether noise of −90 dB is added behind it.
    """

    seconds: float
    fade: float = 0.0
    dither: bool = False

    def __str__(self) -> str:
        """Give its row in the table."""
        dithered = ", dither" if self.dither else ""
        return f"{self.seconds:g} s, fades of {1000 * self.fade:g} ms{dithered}"


GATES = [
    *(Gate(seconds) for seconds in (0.2, 0.5, 1.0, 2.0)),
    *(Gate(0.5, fade) for fade in (0.01, 0.05, 0.2)),
    *(Gate(0.5, dither=True), Gate(0.2, 0.02, dither=True), Gate(1.0, 0.05, dither=True)),
]


def main() -> None:
    """The command."""
    use_one_thread()
    page_command(__doc__, PAGE, lambda: "\n".join(report(load_params())))


def report(params: Params) -> Iterator[str]:
    """Yield the lines of the page."""
    codec = load_codec(params.codec)
    yield "# Noise behind gates"
    yield ""
    yield f"Written by `{COMMAND}`. The table has the dynamic gain of noise behind gates, in nats"
    yield f"per dimension, with its 95 % interval, on {CLIPS} clips of {SECONDS:g} s. Its columns"
    yield "differ in the frames that are left out as targets: none, the *overlapped* ones, which a"
    yield "gate overlaps even in part, or these and so many before and after each. The pipeline"
    yield "leaves out what the last of these columns does. There is nothing to find here but what"
    yield "neighbouring frames share because the encoder sees some of the same sound in both."
    yield ""
    heads = " | ".join(map(beside_in_words, BESIDE))
    yield f"| gate | nothing left out | {heads} | share left out |"
    yield f"|---|{'--:|' * (len(BESIDE) + 2)}"
    for gate in [None, *GATES]:
        clips = encoded(codec, gate)
        cells = [shown(dynamic_gain(sequences(clips, None), params))]
        for beside in BESIDE:
            data = sequences(clips, beside)
            cells.append(shown(dynamic_gain(data, params)))
        share = f"{100 * float(data.gated.float().mean()):.0f} %"
        yield f"| {gate or 'none: white noise'} | {' | '.join(cells)} | {share} |"


def beside_in_words(beside: tuple[int, int]) -> str:
    """Give the head of a column."""
    return f"overlapped, {beside[0]} before, {beside[1]} after"


def shown(gain: Estimate) -> str:
    """Give a number with its interval."""
    numbers = gain.metrics("x")
    return f"{numbers['x']:.3f} [{numbers['x_ci_low']:.3f}, {numbers['x_ci_high']:.3f}]"


def gated_noise(gate: Gate | None, generator: np.random.Generator) -> np.ndarray:
    """Draw (samples,) float32 white noise behind a gate, or in the open."""
    samples = round(SECONDS * SAMPLE_RATE)
    audio = generator.normal(0, 0.1, samples)
    if gate is None:
        return audio.astype(np.float32)
    level, begin = np.ones(samples), round(OPEN_SECONDS * SAMPLE_RATE)
    while begin < samples:
        length = round(gate.seconds * SAMPLE_RATE * generator.uniform(0.8, 1.2))
        level[begin : begin + length] = generator.random() < 0.5
        begin += length
    if gate.fade:
        fade = np.hanning(round(gate.fade * SAMPLE_RATE))
        level = np.convolve(level, fade / fade.sum(), "same")
        level[level < 1e-6] = 0  # what rounding leaves of nothing
    audio = audio * level
    if gate.dither:
        audio += generator.normal(0, 10 ** (-90 / 20), samples)
    return audio.astype(np.float32)


def encoded(codec: Codec, gate: Gate | None) -> list[tuple[EncodedArrays, np.ndarray]]:
    """Draw and encode all clips, and find their silent intervals as `ingest` does."""
    generator = np.random.default_rng(0)
    pcm = [to_pcm(gated_noise(gate, generator)) for _ in range(CLIPS)]
    audio = [(clip / 2**15).astype(np.float32) for clip in pcm]
    arrays = [a for first in range(0, CLIPS, 4) for a in encode_batch(codec, audio[first:][:4])]
    return list(zip(arrays, [gated_intervals(clip).ravel() for clip in pcm], strict=True))


def sequences(
    clips: list[tuple[EncodedArrays, np.ndarray]], beside: tuple[int, int] | None
) -> Sequences:
    """Whiten the latents, and mark the frames in and beside silence, or none."""
    lengths = np.array([len(arrays.latent) for arrays, _ in clips])
    gated = np.zeros(lengths.sum(), bool)
    if beside is not None:
        marked = [
            frames.silent_frames(intervals, len(arrays.latent), *beside)
            for arrays, intervals in clips
        ]
        gated = np.concatenate(marked)
    latents = Latents(
        values=np.concatenate([arrays.latent for arrays, _ in clips]),
        rms_db=np.concatenate([arrays.rms_db for arrays, _ in clips]),
        gated=gated,
        codes=np.concatenate([arrays.codes for arrays, _ in clips]),
        lengths=lengths,
        clip_ids=np.array([str(number) for number in range(len(clips))]),
        voices=np.full(len(clips), "noise"),
        splits=np.array((["train"] * 8 + ["validation", "test"]) * (len(clips) // 10)),
        info={"frame_rate": FRAME_RATE},
    )
    heard = frames_in_split(latents, "train") & ~gated
    return normalized_sequences(latents, fit_normalizer(latents.values[heard], DIM), 35.0)


def dynamic_gain(data: Sequences, params: Params) -> Estimate:
    """Train a small density on the noise and on its frames in another order."""
    predict = params.predict.model_copy(update=SMALL)
    job = FitSpec("real", data, HEAD, 1, predict, 0)
    order = reorderings(data, job.first, job.seed)
    rows = {"real": data, "shuffled": order["shuffled"]}
    fits, _ = fit_all(job, rows, [HEAD])
    bootstrap = clip_bootstrap(data, "test", predict.bootstrap_samples, 0)
    return Gains(job, rows, fits, "test", bootstrap).dynamic_gain(HEAD)


if __name__ == "__main__":
    main()
