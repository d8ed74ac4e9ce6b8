"""Continuations of recordings by each generator, decoded to sound."""

import zlib
from collections.abc import Callable, Mapping

import numpy as np
import torch

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.generation.rollouts import listening_starts, seeded
from mimi_dynamics.generation.sounds import Listening
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.params import Params

Decoder = Callable[[torch.Tensor], np.ndarray]


def make_decoder(codec: Codec, normalizer: Normalizer) -> Decoder:
    """Give a function from (frames, dim) coordinates to (samples,) audio.

    It decodes where the codec is, and takes and gives what is on the CPU. Recordings pass through
    it too, so that all that differs in a continuation is what is predicted.
    """

    @torch.no_grad()
    def decode(coordinates: torch.Tensor) -> np.ndarray:
        latents = torch.from_numpy(normalizer.restore(coordinates.numpy()))
        return codec.decode(latents[None].to(codec.device))[0].clamp(-1, 1).to(CPU).numpy()

    return decode


def listen(
    params: Params,
    generators: Mapping[str, Generator],
    test: Sequences,
    names: np.ndarray,
    decode: Decoder,
) -> list[Listening]:
    """Decode some clips: what was said, and what each generator makes of its beginning.

    Args:
        params: all settings.
        generators: by name, drawing from the clips of test.
        test: the frames x of the clips of test.
        names: (clips,) of these clips.
        decode: frames to audio.
    """
    settings, steps = params.rollout, max(params.horizons)
    starts = listening_starts(test, settings.listen_clips, settings.listen_prompt_frames, steps)
    lengths, samples = np.full(len(starts), steps), settings.listen_samples
    with seeded(zlib.crc32(f"{params.seed} listen".encode())):
        paths = {}
        for name, generator in generators.items():
            with generator.on_device(params.compute):
                paths[name] = generator.paths("test", starts, lengths, samples)
        clips = []
        for number, (clip, known) in enumerate(zip(starts.clip, starts.past, strict=True)):
            end = test.lengths[: clip + 1].sum()
            frames = test.frames[end - test.lengths[clip] : end]
            sounds = {"recorded": decode(frames[: known + steps])}
            for name, path in paths.items():
                for sample, continued in enumerate(path[:, number], 1):
                    sounds[f"{name} {sample}"] = decode(torch.cat([frames[:known], continued]))
            clips.append(Listening(names[clip], known / test.frame_rate, sounds))
    return clips
