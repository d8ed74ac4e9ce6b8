"""Sets of latents of the same speech: of several codecs, with fewer components, blurred or noisy.

Each can be decoded, so that one generator, trained on each of them in turn, can be judged by what
is heard.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mimi_dynamics.codec.base import FRAME_SIZE, Codec
from mimi_dynamics.encoding.transplant import transplant_corpus, with_targets
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import remove
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.codec_row.subjects import codec_of, encode_anew

DECODED_AT_ONCE = 16  # sounds


@dataclass(frozen=True)
class RankedSet:
    """The latents of one set.

    Attributes:
        name: a key of `SETS`.
        codec: decodes them.
        latents: of the codec as encoded, of all components.
        normalizer: of the components that the set has.
        data: what is generated, a step after the other.
        speech: the same with transplanted latents as targets; None if these are not known.
        frames_per_step: number of frames of 80 ms in a step.
    """

    name: str
    codec: Codec
    latents: Latents
    normalizer: Normalizer
    data: Sequences
    speech: Sequences | None
    frames_per_step: int = 1

    @torch.no_grad()
    def decode(self, steps: Tensor) -> np.ndarray:
        """Give the (sounds, samples) audio of (sounds, steps, dim) coordinates."""
        frames = steps.unflatten(2, (self.frames_per_step, -1)).flatten(1, 2)
        restored = self.normalizer.restore(frames.flatten(0, 1).numpy())
        latents = torch.from_numpy(restored).unflatten(0, frames.shape[:2])
        sounds = [
            self.codec.decode(part.to(self.codec.device)) for part in latents.split(DECODED_AT_ONCE)
        ]
        return torch.cat(sounds).clamp(-1, 1).to(CPU).numpy()


Change = Callable[[RankedSet, int], RankedSet]


def unchanged(of: RankedSet, seed: int) -> RankedSet:
    """Give the set as it is; `seed` is not used."""
    return of


def noised(deviation: float) -> Change:
    """Add white noise to every coordinate, which has a variance of 1 before."""

    def change(of: RankedSet, seed: int) -> RankedSet:
        generator = torch.Generator().manual_seed(seed)

        def noisy(frames: Tensor) -> Tensor:
            return frames + deviation * torch.randn(frames.shape, generator=generator)

        return _mapped(of, noisy)

    return change


def smoothed(frames: int) -> Change:
    """Average every frame with those before it in the clip.

    There is no speech-borne gain: the average of a transplanted frame would be with the look-back,
    whose latents are not kept.
    """

    def change(of: RankedSet, _: int) -> RankedSet:
        total, count = torch.zeros_like(of.data.frames), torch.zeros(len(of.data.frames), 1)
        place = torch.from_numpy(of.data.index_in_clip)[:, None]
        for back in range(frames):
            known = place >= back
            total += torch.where(known, of.data.frames.roll(back, 0), 0)
            count += known
        mean = total / count
        return replace(of, data=replace(of.data, frames=mean), speech=None)

    return change


def stacked(of: RankedSet, _: int) -> RankedSet:
    """Take two frames as one step; the last frame of a clip of odd length is left out.

    There is no speech-borne gain: the second frame of a step would have to be transplanted behind
    the first, and only the two together behind another clip.
    """
    data = of.data
    even = torch.from_numpy(data.index_in_clip < np.repeat(data.lengths // 2 * 2, data.lengths))

    def pairs(values: Tensor) -> Tensor:
        return values[even].unflatten(0, (-1, 2))

    steps = Sequences(
        frames=pairs(data.frames).flatten(1),
        voiced=pairs(data.voiced).any(1),
        gated=pairs(data.gated).any(1),
        lengths=data.lengths // 2,
        splits=data.splits,
        frame_rate=data.frame_rate / 2,
    )
    return replace(of, data=steps, speech=None, frames_per_step=2)


def _mapped(of: RankedSet, change: Callable[[Tensor], Tensor]) -> RankedSet:
    """Change the frames of a set, and the targets of its speech-borne gain if it has one."""
    data = _with_changed(of.data, change)
    speech = None if of.speech is None else _with_changed(of.speech, change)
    return replace(of, data=data, speech=speech)


def _with_changed(data: Sequences, change: Callable[[Tensor], Tensor]) -> Sequences:
    """Change frames, and targets if there are any."""
    targets = None if data.targets is None else change(data.targets)
    return replace(data, frames=change(data.frames), targets=targets)


@dataclass(frozen=True)
class SetSpec:
    """How a set comes about.

    Attributes:
        row: whose latents they are, a row of the table of codecs.
        components: number of principal components of a frame.
        change: what is done to them.
        label: what figures call the set.
    """

    row: str
    components: int
    change: Change
    label: str


SETS = {
    "codec": SetSpec("codec", 32, unchanged, "the codec"),
    "codec_8": SetSpec("codec", 8, unchanged, "8 components"),
    "leg_1": SetSpec("leg_1", 32, unchanged, "after its first leg"),
    "lyra": SetSpec("lyra", 32, unchanged, "Lyra"),
    "noised": SetSpec("codec", 32, noised(0.5), "with noise"),
    "smoothed": SetSpec("codec", 32, smoothed(2), "mean of 2 frames"),
    "stacked": SetSpec("codec", 32, stacked, "2 frames a step"),
    "leg_2": SetSpec("leg_2", 32, unchanged, "after its second leg"),
    "codec_16": SetSpec("codec", 16, unchanged, "16 components"),
    "codec_64": SetSpec("codec", 64, unchanged, "64 components"),
    "lyra_16": SetSpec("lyra", 16, unchanged, "Lyra, 16 components"),
    "noised_more": SetSpec("codec", 32, noised(1.0), "with more noise"),
    "leg_1_8": SetSpec("leg_1", 8, unchanged, "first leg, 8 components"),
    "leg_2_16": SetSpec("leg_2", 16, unchanged, "second leg, 16 components"),
    "lyra_8": SetSpec("lyra", 8, unchanged, "Lyra, 8 components"),
    "lyra_stacked": SetSpec("lyra", 32, stacked, "Lyra, 2 frames a step"),
}


def spec_of(name: str) -> SetSpec:
    """Give the spec of a set.

    Raises:
        InputError: there is no such set.
    """
    if name not in SETS:
        raise InputError(f"ranking_study.sets: {name!r}: must be one of {', '.join(SETS)}")
    return SETS[name]


def encode_row(
    row: str, manifest: pd.DataFrame, params: Params, components: int, work: Path
) -> RankedSet:
    """Encode the latents of a row, of which sets are made.

    Args:
        row: see `SetSpec`.
        manifest: the clips, as stage `ingest` wrote them.
        params: all settings.
        components: the most that any of its sets has.
        work: a folder for what is needed meanwhile, which is removed in the end.

    Raises:
        InputError: there are no weights of the codec, it has another rate or hears what follows a
            frame, or a clip cannot be encoded.
    """
    kept = params.latents.model_copy(update={"dim": components})
    wide = params.model_copy(update={"latents": kept})
    remove(work)
    codec = codec_of(row, params)
    if codec.frame_size != FRAME_SIZE or codec.hears_ahead != 0:
        raise InputError(
            f"ranking_study.sets: {row}: must have a latent every 80 ms that hears nothing later"
        )
    # A codec cannot stream any more after it was prepared for fast encoding.
    transplanted = transplant_corpus(codec, manifest, params.seed)
    latents, normalizer, data = encode_anew(codec, manifest, wide, work)
    remove(work)
    speech = with_targets(data, latents, normalizer, transplanted)
    return RankedSet(row, codec_of(row, params), latents, normalizer, data, speech)


def make_set(name: str, encoded: RankedSet, seed: int) -> RankedSet:
    """Make a set of the latents of its row.

    Args:
        name: a key of `SETS`.
        encoded: what `encode_row` gave.
        seed: of what is drawn.
    """
    spec = spec_of(name)
    of, dim = encoded.normalizer, spec.components
    normalizer = Normalizer(of.mean, of.components[:dim], of.scale[:dim])
    kept = replace(
        _mapped(encoded, lambda frames: frames[:, :dim].contiguous()),
        name=name,
        normalizer=normalizer,
    )
    return spec.change(kept, seed)
