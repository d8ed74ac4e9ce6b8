"""How well speech survives the codec of a row, as stage `reconstruct` measures it of the run's."""

from functools import partial

import numpy as np
import pandas as pd

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.pipeline.metrics import detail_path, read_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.quality.clips import (
    choose,
    measure_clips,
    measure_words,
    pass_through,
    way_of,
)
from mimi_dynamics.quality.summary import recognised, summarise

LOG_MEL, WORDS = "log_mel", "word_error_rate"


def codec_quality(codec: Codec, manifest: pd.DataFrame, params: Params) -> dict[str, object]:
    """Measure what the codec, and its quantiser if it has one, does to held-out clips.

    Args:
        codec: the codec, as it was loaded: one prepared for fast encoding has other latents.
        manifest: the clips, as stage `ingest` wrote them.
        params: all settings.

    Returns:
        `quality`, with `log_mel`, the log-mel distance in nepers on `clips` clips of the test
        split, and, if there are English clips, words in them and a recogniser, the
        `word_error_rate` and the number of `words`; nothing for a codec that cannot decode.

    Raises:
        InputError: every frame of the clips of the test split is gated.
    """
    if not codec.can_decode:
        return {}
    way, decode = way_of(codec), partial(_pass_through, codec)
    paths, silence = choose(manifest, "test", params.reconstruct.clips)
    sound = summarise(measure_clips(decode, paths, silence, english=False), params)[way]
    quality = _with_interval(sound, LOG_MEL) | {"clips": len(paths)}
    heard = measure_words(decode, manifest, params.reconstruct.english_clips, "codec_row")
    if heard is not None and len(heard):
        found = recognised(heard, params)
        quality |= {**found[way], "words": found["words"]}
    return {"quality": quality}


def quality_of_run(codec: Codec) -> dict[str, object]:
    """Give what stage `reconstruct` found of the run's codec, as `codec_quality` would find it.

    Args:
        codec: the codec of the run.

    Raises:
        InputError: the stage `reconstruct` has not run.
    """
    if not codec.can_decode:
        return {}
    way, found = way_of(codec), read_metrics(detail_path("reconstruct"))
    quality = _with_interval(found["test"][way], LOG_MEL) | {"clips": found["test"]["clips"]}
    if way in (english := found.get("english", {})):
        quality |= {**english[way], "words": english["words"]}
    return {"quality": quality}


def _pass_through(codec: Codec, audio: np.ndarray) -> dict[str, np.ndarray]:
    return {way_of(codec): pass_through(codec, audio)}


def _with_interval(metrics: dict[str, float], name: str) -> dict[str, float]:
    return {key: metrics[key] for key in (name, f"{name}_ci_low", f"{name}_ci_high")}
