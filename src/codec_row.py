"""How predictable are the latents of one codec, and how much of that is carried by the speech?

A gain has two other sources: what frames shuffled within each clip show too, and that neighbouring
frames hear some of the same audio. So every row of the table by codec has the plain gain one frame
ahead, the dynamic gain, which is what it is beyond that of shuffled frames, and the speech-borne
gain: that on the latent of the next frame's audio after a look-back from another clip, which shares
no sample with the past, beyond the same with these targets shuffled. Spliced speech, its frames in
another order, shows what overlap alone makes of the dynamic gain. Beside them stands what the codec
does to the sound, so that gain can be seen against quality, and what the gain is where components
count by what they change in the sound. Two frames ahead, gains are of one training.

    python src/codec_row.py codec        (or: dvc repro codec_row@codec)
    python src/codec_row.py untrained    (in make studies, for every row of codec_table.rows)

A row is `codec`, that of the run, whose plain fits stage `horizon` has done; `untrained`, one of
its shape with random weights; `steps_400`, ..., mimi-mini trained for so many steps alone;
`leg_1`, ..., as it was after that leg of its training; `log_mel`; or another codec by its name.
With the prefix `read_`, it is measured on the corpora of read speech, kathleen and kerstin, on
whose train split mimi-mini was trained.
Reads data/manifest.parquet and data/audio/; for `codec` also data/latents/, data/horizons/,
models/normalizer.safetensors and metrics/detail/reconstruct.json.
Writes metrics/detail/codec_rows/<row>.json.
"""

from pathlib import Path

import pandas as pd

from mimi_dynamics.evidence.scores import read_fits
from mimi_dynamics.pipeline.conventions import NEXT_FRAME, READ
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import remove, require
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import clips_sha256
from mimi_dynamics.pipeline.without_audio import has_audio, say_without
from mimi_dynamics.studies.codec_row.audible import audible
from mimi_dynamics.studies.codec_row.gains import fit_leads, measure
from mimi_dynamics.studies.codec_row.quality import codec_quality, quality_of_run
from mimi_dynamics.studies.codec_row.records import (
    bit_rate,
    facts,
    origin_of,
    trainings_of,
    write_row,
)
from mimi_dynamics.studies.codec_row.subjects import (
    RUN,
    Subject,
    codec_of,
    make_subject,
    own_subject,
    read_speech,
)

FURTHER = 2  # frames ahead, measured by one training


def codec_row(params: Params, row: str) -> None:
    """Run the stage for one row.

    Args:
        params: all settings.
        row: its name.
    """
    work = Path("runs/codec_row") / row
    if row.startswith(READ):
        manifest = read_speech(params, work / "audio")
    else:
        manifest = pd.read_parquet(require(Path("data/manifest.parquet"), "ingest"))
    trainings = {NEXT_FRAME: trainings_of(row, params)}
    if FURTHER in params.horizons:
        trainings[FURTHER] = 1
    stored = {k: read_fits(k) for k in trainings} if row == RUN else {}
    if has_audio(manifest):
        subject = make_subject(row, manifest, params, work / "encoded")
        # Loaded anew, because that of the subject was prepared for fast encoding.
        codec = codec_of(row, params)
        known = quality_of_run(codec) if row == RUN else codec_quality(codec, manifest, params)
        heard = bit_rate(codec) | known | audible(subject, codec, params)
    else:
        subject, heard = own_subject_of(row, params), {}
    leads = fit_leads(subject, params, trainings, stored)
    gains = measure(leads, params, subject.latents.info["frame_rate"])
    origin = origin_of(row, subject.weights_sha256, clips_sha256(manifest), params)
    write_row(row, facts(subject, params) | heard | gains, origin)
    remove(work)


def own_subject_of(row: str, params: Params) -> Subject:
    """Give what the row of the run is measured on if there is no audio, and say what is left out.

    Raises:
        InputError: it is another row, whose codec would need audio.
    """
    if row != RUN:
        raise InputError(f"{row}: must be {RUN!r}: other codecs need audio, and there is none")
    left_out = "speech-borne gain, spliced speech and quality are not measured"
    say_without("codec_row", "audio", left_out)
    return own_subject(params)


if __name__ == "__main__":
    run_stage(codec_row, row=str)
