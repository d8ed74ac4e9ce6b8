"""Processes with known answers, of the size of the latents and by the same settings."""

from dataclasses import replace

import numpy as np
import torch

from mimi_dynamics.density.fit import FitSpec
from mimi_dynamics.diagnostics.learning_curve import fit_rows
from mimi_dynamics.diagnostics.process import Process
from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import STACK, Gains
from mimi_dynamics.latents.lengths import bucket_by_length
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.measurement.efforts import Effort
from mimi_dynamics.pipeline.conventions import NEXT_FRAME

AT_ONCE = 2**16  # frames, padded, that are simulated together


def control_metrics(
    template: FitSpec, effort: Effort, head: str, bootstrap: ClipBootstrap
) -> dict[str, dict[str, float]]:
    """Measure processes whose gain is known, as the latents are measured.

    Args:
        template: the fit to the latents, which gives size, splits, settings and seed.
        effort: which processes, and what is fitted beside the head.
        head: the head that was chosen for the latents.
        bootstrap: draws of the clips of `test`, of which these have as many.

    Returns:
        By process, the true gain and the one found, in nats per dimension.
    """
    like, template = template.sequences, replace(template, horizon=NEXT_FRAME)
    rows = {name: simulated(PROCESSES[name], like, template.seed) for name in effort.controls}
    fits = fit_rows(template, rows, head, effort.beside)
    gains = Gains(template, rows, fits, "test", bootstrap)
    scored = range(template.first, int(like.lengths.max()))
    return {
        name: {
            "true_nats_per_dim": PROCESSES[name].true_gain(like.dim, scored),
            **gains.gain(name, STACK).metrics("found_nats_per_dim"),
        }
        for name in rows
    }


def simulated(process: Process, like: Sequences, seed: int) -> Sequences:
    """Simulate as many clips, as long and with as many dimensions and on the same splits.

    Args:
        process: the process.
        like: the latents, of which only the shape counts.
        seed: of all noise.
    """
    generator = torch.Generator().manual_seed(seed)
    frames, clip_of_frame = torch.empty(len(like.frames), like.dim), like.clip_of_frame
    for clips in bucket_by_length(like.lengths, like.lengths > 0, AT_ONCE):
        clips.sort()
        lengths = like.lengths[clips]
        longest = int(lengths.max())
        made = process.clips(len(clips), longest, like.dim, generator)
        kept = torch.arange(longest)[None] < torch.from_numpy(lengths)[:, None]
        frames[np.isin(clip_of_frame, clips)] = made[kept]
    every = torch.zeros(len(frames), dtype=torch.bool)
    return Sequences(frames, ~every, every, like.lengths, like.splits, frame_rate=like.frame_rate)
