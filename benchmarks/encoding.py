r"""How fast speech becomes latents: ours, a plain loop of moshi and `transformers`, side by side.

All read the same clips of the corpus from disk and make latents and codes of them, on all cores,
taking turns; every round measures the machine's matrix products too, so that a ratio is one of
neighbours in time. Both codecs: `mimi-mini`, and one of the shape of Kyutai's Mimi with random
weights, as his were not to be had where this was written; speed does not depend on them.

    PYTHONPATH=src .venv/bin/python benchmarks/encoding.py

`transformers` is no dependency of the project. To have it in the table, after `make install`:

    .venv/bin/uv venv --python .venv/bin/python benchmarks/.venv
    .venv/bin/uv pip install --python benchmarks/.venv/bin/python --constraint requirements.lock \
        --extra pipeline -r pyproject.toml -r benchmarks/requirements-encoding.txt
    PYTHONPATH=src benchmarks/.venv/bin/python benchmarks/encoding.py

Reads data/audio/ and data/manifest.parquet. Prints tables, which --write keeps in
docs/reference/performance.md. Takes 5 minutes.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from machine import copy_rate, matrix_rate, write_section
from mimi_dynamics.codec.base import Codec, MimiCodec
from mimi_dynamics.codec.loading import load_codec, untrained_codec
from mimi_dynamics.encoding.batches import encode_group, prepare
from mimi_dynamics.encoding.corpus import relative_difference
from mimi_dynamics.latents.store import EncodedClip
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.params import CodecParams, Params, load_params

MANIFEST = Path("data/manifest.parquet")
PLAIN = "plain loop of moshi"
CODECS = {"mimi-mini": 5.0, "mimi": 1.0}  # and of how much audio, as the first takes less time
Work = Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """A codec, the clips it encodes and who does it.

    Attributes:
        title: of its table.
        seconds: of audio.
        operations: of the encoder, for a second of audio; additions and multiplications.
        works: by name; each encodes all clips once.
        agreement: of ours with the plain loop, in words.
    """

    title: str
    seconds: float
    operations: float
    works: dict[str, Work]
    agreement: str


@dataclass(frozen=True)
class Round:
    """One turn.

    Attributes:
        limits: operations a second of matrix products, by dtype.
        wall: seconds, by name of the work.
        cpu: seconds of the processor, all cores together.
    """

    limits: dict[str, float]
    wall: dict[str, float]
    cpu: dict[str, float]


@cache
def dtypes() -> dict[str, torch.dtype]:
    """Give the number types to encode in, bfloat16 only where its matrix products are the faster.

    Processors without it take tens of times as long.
    """
    both = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    faster = matrix_rate(both["bfloat16"]) > matrix_rate(both["float32"])
    return both if faster else {"float32": both["float32"]}


def choose_clips(manifest: pd.DataFrame, seconds: float) -> pd.DataFrame:
    """Every n-th clip, so that they last about so long together."""
    return manifest.iloc[:: max(1, round(manifest["seconds"].sum() / seconds))]


def plain_loop(codec: MimiCodec, clips: pd.DataFrame) -> list[torch.Tensor]:
    """One file after the other, as moshi's README has it; torch uses all cores for each."""
    model, latents = codec.model, []
    with torch.no_grad():
        for path in clips["path"]:
            audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None, None]
            latents.append(model.encode_to_latent(audio, quantize=False))
            model.quantizer.encode(latents[-1])
    return latents


def ours(codec: Codec, clips: pd.DataFrame, batch_seconds: float) -> list[EncodedClip]:
    """As stage `encode` does it."""
    return encode_group(codec, clips, batch_seconds, available_cores())


def transformers_loop(params: CodecParams, clips: pd.DataFrame) -> Work:
    """One file after the other by `transformers`, its model of the same shape as `params` say."""
    from transformers import MimiConfig, MimiModel

    shape, codebooks = {}, params.mimi.codebooks
    if params.name == "mimi-mini":
        mini, codebooks = params.mini, params.mini.codebooks
        heads = mini.dim // 32
        shape = {
            "hidden_size": mini.dim,
            "num_filters": mini.filters,
            "num_hidden_layers": mini.layers,
            "intermediate_size": 4 * mini.dim,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "head_dim": 32,
            "codebook_size": mini.bins,
            "codebook_dim": mini.dim // 2,
            "vector_quantization_hidden_dimension": mini.dim // 2,
            "num_quantizers": mini.codebooks,
            "sliding_window": 2 * mini.clip_frames,
            "upsample_groups": mini.dim,
        }
    model = MimiModel(MimiConfig(**shape)).eval()

    def work() -> None:
        with torch.no_grad():
            for path in clips["path"]:
                audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None, None]
                model.encode(audio, num_quantizers=codebooks)

    return work


def make_subject(params: Params, name: str, audio_seconds: float) -> Subject:
    """A codec with all that encode by it."""
    settings = params.codec.model_copy(update={"name": name})

    def load() -> MimiCodec:
        trained = name == "mimi-mini"
        codec = load_codec(settings) if trained else untrained_codec(settings, params.seed)
        assert isinstance(codec, MimiCodec)  # as both of `CODECS` are moshi's
        return codec

    clips = choose_clips(pd.read_parquet(MANIFEST), CODECS[name] * audio_seconds)
    plain, codecs = load(), {dtype: load() for dtype in dtypes()}
    for dtype, codec in codecs.items():
        prepare(codec, dtypes()[dtype])
    seconds = params.encode.batch_seconds
    works: dict[str, Work] = {PLAIN: lambda: plain_loop(plain, clips)}
    if importlib.util.find_spec("transformers"):
        works["transformers.MimiModel"] = transformers_loop(settings, clips)
    for dtype, codec in codecs.items():
        works[f"ours, {dtype}"] = partial(ours, codec, clips, seconds)
    kind = "mimi-mini" if name == "mimi-mini" else "The shape of Kyutai's Mimi, random weights"
    words = [agreement(dtype, codec, plain, clips, seconds) for dtype, codec in codecs.items()]
    total = float(clips["seconds"].sum())
    return Subject(kind, total, operations(plain), works, "; ".join(words))


def operations(codec: Codec) -> float:
    """Of the encoder for a second of audio."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        codec.encode(torch.zeros(1, 4 * codec.sample_rate))
    return counter.get_total_flops() / 4


def agreement(
    dtype: str, codec: Codec, plain: MimiCodec, clips: pd.DataFrame, batch_seconds: float
) -> str:
    """Of our latents and codes with those of the plain loop, in words."""
    expected = plain_loop(plain, clips)
    found = ours(codec, clips, batch_seconds)
    pairs = list(zip(found, expected, strict=True))
    largest = max(relative_difference(f.latent, e[0].T.numpy()) for f, e in pairs)
    codes = [plain.model.quantizer.encode(e)[0].T.numpy() for e in expected]
    same = np.concatenate([(f.codes == c).ravel() for f, c in zip(found, codes, strict=True)])
    return f"{dtype}: within {largest:.1e} of a clip's norm, {100 * same.mean():.2f} % same codes"


def timed(work: Work) -> tuple[float, float]:
    """Seconds of the wall and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def run_rounds(subject: Subject, repeats: int) -> list[Round]:
    """All works in turn, again and again."""
    rounds = []
    for _ in tqdm(range(repeats), subject.title, unit="round", disable=None):
        limits = {name: matrix_rate(dtype) for name, dtype in dtypes().items()}
        times = {name: timed(work) for name, work in subject.works.items()}
        wall = {name: seconds for name, (seconds, _) in times.items()}
        rounds.append(Round(limits, wall, {name: cpu for name, (_, cpu) in times.items()}))
    return rounds


def table(subject: Subject, rounds: list[Round]) -> list[str]:
    """Medians over rounds, of ratios within a round."""
    lines = [
        f"### {subject.title}",
        "",
        f"{subject.seconds:.0f} s of audio, {subject.operations / 1e9:.2f} GFLOP a second of it.",
        "",
        "| | audio s per s | of the plain loop | of the float32 bound | audio s per core-s |",
        "|---|---|---|---|---|",
    ]
    for name in subject.works:
        rate = np.array([subject.seconds / turn.wall[name] for turn in rounds])
        ratio = np.array([turn.wall[PLAIN] / turn.wall[name] for turn in rounds])
        bound = np.array([turn.limits["float32"] / subject.operations for turn in rounds])
        per_core = np.array([subject.seconds / turn.cpu[name] for turn in rounds])
        lines.append(
            f"| {name} | {spread(rate, '.1f')} | {spread(ratio, '.2f')} "
            f"| {spread(100 * rate / bound, '.0f')} % | {np.median(per_core):.1f} |"
        )
    return [*lines, "", f"Ours and the plain loop: {subject.agreement}.", ""]


def spread(values: np.ndarray, digits: str) -> str:
    """Median, and least and most."""
    return f"{np.median(values):{digits}} ({values.min():{digits}} to {values.max():{digits}})"


def page(params: Params, audio_seconds: float, repeats: int) -> str:
    """A section of docs/reference/performance.md."""
    subjects = [make_subject(params, name, audio_seconds) for name in CODECS]
    rounds = [run_rounds(subject, repeats) for subject in subjects]
    limits = [turn.limits for turns in rounds for turn in turns]
    rates = [
        f"{spread(np.array([limit[name] for limit in limits]) / 1e9, '.0f')} GFLOP/s in {name}"
        for name in dtypes()
    ]
    if len(rates) == 1:
        rates.append("slower in bfloat16, which is left out")
    copies = spread(np.array([copy_rate() for _ in range(repeats)]) / 1e9, ".1f")
    lines = [
        f"By `PYTHONPATH=src benchmarks/.venv/bin/python benchmarks/encoding.py --write` on"
        f" {available_cores()} cores,",
        f"which may have had other work besides; torch {torch.__version__}. Medians of {repeats}"
        " rounds, least and",
        f"most in brackets. Batches of {params.encode.batch_seconds:g} s (`encode.batch_seconds`).",
        "",
        f"The machine's own limits: matrix products at {' and '.join(rates)};",
        f"copies at {copies} GB/s.",
        "",
    ]
    for subject, turns in zip(subjects, rounds, strict=True):
        lines += table(subject, turns)
    if not importlib.util.find_spec("transformers"):
        lines += ["Without `transformers`, which is not installed here.", ""]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each, in turn [5]")
    parser.add_argument(
        "--seconds", type=float, default=80, help="of audio in a round, 5 times that for the small"
    )
    parser.add_argument("--write", action="store_true", help="to docs/reference/performance.md")
    options = parser.parse_args()
    torch.set_num_threads(available_cores())
    try:
        if not MANIFEST.exists():
            raise InputError(f"{MANIFEST}: not there; run `dvc repro ingest` first")
        text = page(load_params(), options.seconds, options.repeats)
    except InputError as error:
        sys.exit(f"encoding: error: {error}")
    print(text)
    if options.write:
        write_section("Encoding", text)


if __name__ == "__main__":
    main()
