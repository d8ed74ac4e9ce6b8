"""Corpora of which bet 1 is false, in place of speech: a yes to one of them is a false alarm.

Spliced speech has the frames of every clip in an order drawn at random, so that nothing of it tells
of the next frame but what the encoder hears of both. White noise behind a gate tells of the gate
alone. Both go the way that the row of a codec goes: their own components, and as targets of the
speech-borne gain the latents of frames that were transplanted behind another clip.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from mimi_dynamics.codec.base import SAMPLE_RATE, Codec
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding.splice import draw_order, seed_of_clip
from mimi_dynamics.encoding.spliced import BLOCK_FRAMES, splice_corpus
from mimi_dynamics.encoding.transplant import transplant_corpus, with_targets
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.files import remove
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.speech.audio import to_pcm
from mimi_dynamics.speech.gates import gated_intervals
from mimi_dynamics.studies.codec_row.gains import fit_leads, measure
from mimi_dynamics.studies.codec_row.subjects import Subject, encode_anew

SHUT_SECONDS = (0.2, 2.0)  # how long a gate is shut, and open again, drawn evenly between
NOISE_RMS = 0.1

MakeNull = Callable[[pd.DataFrame, Params, Path, int], Subject]


def some_clips(manifest: pd.DataFrame, every: int) -> pd.DataFrame:
    """Keep every n-th clip of each voice and split."""
    place = manifest.groupby(["voice", "split"], sort=False).cumcount()
    return manifest[place % every == 0].reset_index(drop=True)


def spliced_speech(manifest: pd.DataFrame, params: Params, work: Path, seed: int) -> Subject:
    """Encode clips with their frames in another order, and transplant the frames placed there.

    Args:
        manifest: the clips.
        params: all settings.
        work: a folder for what is needed meanwhile, which is removed in the end.
        seed: seed of the orders.
    """
    remove(work)
    codec = load_codec(params.codec)
    whole = transplant_corpus(codec, manifest, params.seed)
    orders = {clip_id: _order(clip_id, len(of), manifest, seed) for clip_id, of in whole.items()}
    placed = {clip_id: of[orders[clip_id]] for clip_id, of in whole.items()}
    return _subject(codec, splice_corpus(manifest, work / "audio", seed), placed, params, work)


def _order(clip_id: str, frames: int, manifest: pd.DataFrame, seed: int) -> np.ndarray:
    """Give the order in which `splice_corpus` puts the frames of a clip."""
    path = manifest.loc[manifest.clip_id == clip_id, "path"].item()
    order = draw_order(soundfile.info(path).frames, BLOCK_FRAMES, seed_of_clip(seed, clip_id))
    if len(order) != frames:
        raise ValueError(f"{clip_id}: {len(order)} frames in its order, {frames} were transplanted")
    return order


def gated_noise(manifest: pd.DataFrame, params: Params, work: Path, seed: int) -> Subject:
    """Encode white noise behind a gate, in clips as long as those of the manifest.

    Args:
        manifest: the clips.
        params: all settings.
        work: a folder for what is needed meanwhile, which is removed in the end.
        seed: seed of noise and gates.
    """
    remove(work)
    codec = load_codec(params.codec)
    written = write_noise(manifest, work / "audio", seed)
    return _subject(codec, written, transplant_corpus(codec, written, params.seed), params, work)


def write_noise(manifest: pd.DataFrame, folder: Path, seed: int) -> pd.DataFrame:
    """Write a clip of gated noise in place of each of the manifest.

    Returns:
        The manifest of what was written: `path` and `gated` are new, all else is as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[str] = []
    gated: list[np.ndarray] = []
    for number, clip in enumerate(manifest.itertuples()):
        random = np.random.default_rng(seed_of_clip(seed, clip.clip_id))
        samples = soundfile.info(clip.path).frames
        noise = random.normal(0, NOISE_RMS, samples) * gate(samples, random)
        pcm = to_pcm(noise.astype(np.float32))
        paths.append(str(folder / f"{number:07d}.flac"))
        soundfile.write(paths[-1], pcm, SAMPLE_RATE, subtype="PCM_16")
        gated.append(gated_intervals(pcm).ravel())
    return manifest.assign(path=paths, gated=pd.Series(gated, index=manifest.index))


def gate(samples: int, random: np.random.Generator) -> np.ndarray:
    """Draw (samples,) of ones and zeros in turns, each for 0.2 to 2 s, either of them first."""
    drawn = int(samples / (SHUT_SECONDS[0] * SAMPLE_RATE)) + 1
    lengths = (random.uniform(*SHUT_SECONDS, drawn) * SAMPLE_RATE).astype(int)
    open_ = (np.arange(drawn) + random.integers(2)) % 2
    return np.repeat(open_, lengths)[:samples]


def _subject(
    codec: Codec,
    manifest: pd.DataFrame,
    transplanted: Mapping[str, np.ndarray],
    params: Params,
    work: Path,
) -> Subject:
    latents, normalizer, data = encode_anew(codec, manifest, params, work)
    remove(work)
    speech = with_targets(data, latents, normalizer, transplanted)
    return Subject(codec.weights_sha256, latents, normalizer, data, speech, None)


NULLS: dict[str, MakeNull] = {"spliced_speech": spliced_speech, "gated_noise": gated_noise}


def gains_of(subject: Subject, params: Params) -> dict[str, object]:
    """Fit and measure a corpus as the row of a codec, at the settings of `bet1_study`."""
    study = params.bet1_study
    small = params.predict.model_copy(update={"width": study.width})
    params = params.model_copy(update={"predict": small})
    leads = fit_leads(subject, params, {NEXT_FRAME: study.trainings}, {})
    return measure(leads, params, subject.latents.info["frame_rate"])
