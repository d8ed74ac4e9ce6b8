"""What latents take in memory, read whole or as a stream: a part of benchmarks/training.py.

    PYTHONPATH=src .venv/bin/python benchmarks/training_memory.py

Makes up latents in a temporary folder and reads them in processes of their own.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from mimi_dynamics.density.fit import FitSpec, fit_densities
from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.evidence.surrogates import make_surrogates
from mimi_dynamics.latents.loading import GIB, read_data, resident_bytes
from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.row_groups import row_groups
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter
from mimi_dynamics.pipeline.params import Params, load_params

CLIP_FRAMES = 100
CLIPS_PER_GROUP = 128  # as of the stage encode
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
SIZES = ((1_000_000, 128), (1_000_000, 512))  # frames, dimensions as encoded
SHARE_OF_RESIDENT = (0.8, 0.6)  # budgets to stream in; the wide ones need 0.54
NOTHING_SET_ASIDE = 1000.0


def make_latents(folder: Path, frames: int, dim: int) -> None:
    """Noise, and a normalizer of its first row group, as the stages before leave them."""
    generator = np.random.default_rng(0)
    info = {"codec": "made-up", "weights_sha256": "", "latent_kind": LATENT_KIND, "dim": dim}
    info |= {"codebooks": 8, "frame_rate": 12.5, "sample_rate": 24000}
    with LatentWriter(folder / "data/latents", info) as writer:
        for split, share in SHARES.items():
            clips = round(frames * share / CLIP_FRAMES)
            for start in range(0, clips, CLIPS_PER_GROUP):
                shape = min(CLIPS_PER_GROUP, clips - start), CLIP_FRAMES, dim
                values = generator.standard_normal(shape).astype(np.float32)
                codes = generator.integers(0, 512, (*shape[:2], 8)).astype(np.int16)
                level, gated = np.zeros(CLIP_FRAMES, np.float32), np.zeros(CLIP_FRAMES, bool)
                names = [f"{split}/{start + n}" for n in range(len(values))]
                writer.write(
                    [
                        EncodedClip(name, "nobody", split, of, level, gated, code)
                        for name, of, code in zip(names, values, codes, strict=True)
                    ]
                )
    normalizer = fit_normalizer(values.reshape(-1, dim), load_params().latents.dim)
    normalizer.save(folder / "models/normalizer.safetensors")


def small(params: Params, memory_gib: float) -> Params:
    """Settings for a training of seconds, which holds as much data as a long one."""
    short = {"epochs": 1, "pretrain_epochs": 1, "min_steps": 1, "width": 16}
    predict = params.predict.model_copy(update=short)
    return params.model_copy(update={"predict": predict, "memory_gib": memory_gib})


def peak() -> int:
    """Most bytes that this process ever held; `getrusage` would count those of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def measure(folder: Path, memory_gib: float) -> None:
    """Print bytes at the peak of reading, and of that with surrogates and a training."""
    torch.set_num_threads(1)
    params = small(load_params(), memory_gib)
    warm = PROCESSES["linear"].simulate(40, 50, params.latents.dim, seed=0)
    make_surrogates(warm, 8, 4, 0)
    fit_densities(FitSpec("warm", warm, "gaussian", 1, params.predict, 0))
    os.chdir(folder)
    before = peak()
    real = read_data(params)
    read = peak() - before
    rows = {"real": real} | make_surrogates(real, 8, 4, 0)
    fit_densities(FitSpec("real", rows["shuffled"], "gaussian", 1, params.predict, 0))
    print("bytes:", read, peak() - before)


def measured(folder: Path, memory_gib: float) -> tuple[int, int]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, str(folder), str(memory_gib)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    read, trained = output.split("bytes:")[1].split()
    return int(read), int(trained)


def section() -> list[str]:
    """A table as lines of text."""
    lines = [
        "## Memory",
        "",
        "Most that a process held beyond what it took to start, on made-up latents: after reading,",
        "and after surrogates and a short training (Gaussian head). The budget is `memory_gib`.",
        "",
        "| frames | dimensions | latents, MB | budget, MB | read, MB | trained, MB | of budget |",
        "|---|---|---|---|---|---|---|",
    ]
    for frames, dim in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_latents(folder, frames, dim)
            whole = resident_bytes(row_groups(folder / "data/latents"), load_params().latents.dim)
            budgets = [NOTHING_SET_ASIDE, *(share * whole / GIB for share in SHARE_OF_RESIDENT)]
            for budget in budgets:
                read, trained = measured(folder, budget)
                limit = whole if budget == NOTHING_SET_ASIDE else budget * GIB
                cells = [f"{frames:,}", str(dim), f"{4 * frames * dim / 1e6:.0f}"]
                cells += [f"{limit / 1e6:.0f}" + (" (resident)" if limit == whole else "")]
                cells += [f"{read / 1e6:.0f}", f"{trained / 1e6:.0f}", f"{trained / limit:.2f}"]
                lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]), float(sys.argv[2]))
    else:
        print("\n".join(section()))
