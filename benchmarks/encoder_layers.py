r"""Where each second of encoding by a codec of the shape of Kyutai's Mimi goes, against its bound.

Encodes clips as stage `encode` does, on one thread, and adds up the time of each kind of operation
at each size of its operands. The bound of a matrix product is the time that its sums would take at
the rate of large products, that of an operation on single numbers the time to read and write them
at the rate of copies beyond any cache; both are measured on one thread in the same run. Nothing
else has a bound here.

    PYTHONPATH=src .venv/bin/python benchmarks/encoder_layers.py

Weights are random, on which speed does not depend. Prints a section, which --write keeps in
docs/reference/performance.md. Takes a minute of an idle core.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from machine import copy_rate, matrix_rate, write_section
from mimi_dynamics.codec.loading import untrained_codec
from mimi_dynamics.encoding.batches import prepare
from mimi_dynamics.pipeline.params import load_params

COMMAND = "PYTHONPATH=src .venv/bin/python benchmarks/encoder_layers.py --write"
TITLE = "The encoder, operation by operation"
CALLS = 5
LEAST_SHARE = 0.01  # of the time; what takes less is added up
BYTES = 4  # of a number
# Matrix products, and which of their operands is the first factor.
PRODUCTS = {"aten::addmm": 1, "aten::addmm_": 1, "aten::mm": 0, "aten::bmm": 0}
# Operations on single numbers, and how often each is read or written.
TOUCHED = {"aten::elu": 2, "aten::elu_": 2, "aten::add_": 2, "aten::copy_": 2, "aten::fill_": 1}


@dataclass(frozen=True)
class Row:
    """One kind of operation at one size.

    Attributes:
        name: of the operation.
        shapes: of its operands.
        seconds: for a second of audio.
        bound: seconds for a second of audio, if it were as fast as the machine; 0 for no bound.
    """

    name: str
    shapes: list[tuple[int, ...]]
    seconds: float
    bound: float


def main() -> None:
    """Measure, print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/reference/performance.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sums, copied = matrix_rate(torch.float32, 1), copy_rate(1)
    text = "\n".join(section(measure(sums, copied), sums, copied))
    print(text)
    if arguments.write:
        write_section(TITLE, text)


@torch.no_grad()
def measure(sums: float, copied: float) -> list[Row]:
    """Encode, and give what every operation took, the longest first.

    Args:
        sums: floating-point operations a second of large matrix products.
        copied: bytes a second that are read and written again.
    """
    params = load_params()
    settings = params.codec.model_copy(update={"name": "mimi"})
    codec = untrained_codec(settings, params.seed)
    prepare(codec, torch.float32)
    seconds = params.encode.batch_seconds
    audio = 0.1 * torch.randn(1, round(seconds * codec.sample_rate))
    codec.encode(audio)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        for _ in range(CALLS):
            codec.encode(audio)
    rows = []
    for event in found.key_averages(group_by_input_shape=True):
        shapes = [tuple(shape) for shape in event.input_shapes if shape]
        bound = operations(event.key, shapes) / sums + bytes_moved(event.key, shapes) / copied
        per_second = CALLS * seconds
        spent = 1e-6 * event.self_cpu_time_total / per_second
        rows.append(Row(event.key, shapes, spent, event.count * bound / per_second))
    return sorted(rows, key=lambda row: -row.seconds)


def operations(name: str, shapes: list[tuple[int, ...]]) -> int:
    """Count the multiplications and additions of a matrix product; of anything else they are 0."""
    if name not in PRODUCTS:
        return 0
    left, right = shapes[PRODUCTS[name] :][:2]
    return 2 * math.prod(left) * right[-1]


def bytes_moved(name: str, shapes: list[tuple[int, ...]]) -> float:
    """Give the bytes that an operation on single numbers reads and writes, in pairs of both."""
    if name not in TOUCHED or not shapes:
        return 0.0
    return BYTES * math.prod(shapes[0]) * TOUCHED[name] / 2


def section(rows: list[Row], sums: float, copied: float) -> Iterator[str]:
    """Yield the words and the table."""
    total = sum(row.seconds for row in rows)
    products = [row for row in rows if row.name in PRODUCTS]
    spent, bound = sum(row.seconds for row in products), sum(row.bound for row in products)
    yield f"By `{COMMAND}`, on one thread; torch {torch.__version__}."
    yield f"{1 / total:.1f} s of audio in a second. Matrix products take"
    yield f"{100 * spent / total:.0f} % of the time, and run at {100 * bound / spent:.0f} % of the"
    yield f"rate of large ones, which is {sums / 1e9:.0f} GFLOP/s here. Memory is copied at"
    yield f"{copied / 1e9:.0f} GB/s; what is in a cache is faster than that."
    yield ""
    yield "| operation | operands | ms for a second of audio | share | of its bound |"
    yield "|---|---|--:|--:|--:|"
    shown = [row for row in rows if row.seconds >= LEAST_SHARE * total]
    for row in shown:
        operands = ", ".join(" × ".join(map(str, shape)) for shape in row.shapes[:3])
        of_bound = f"{100 * row.bound / row.seconds:.0f} %" if row.bound else ""
        yield (
            f"| `{row.name.removeprefix('aten::')}` | {operands} | {1000 * row.seconds:.2f} "
            f"| {100 * row.seconds / total:.0f} % | {of_bound} |"
        )
    rest = total - sum(row.seconds for row in shown)
    yield f"| all else | | {1000 * rest:.2f} | {100 * rest / total:.0f} % | |"


if __name__ == "__main__":
    main()
