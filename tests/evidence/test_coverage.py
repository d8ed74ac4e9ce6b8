"""Of 40 runs with fresh clips and seeds, the intervals of at least 35 hold what the others find."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.density.fit import FitSpec, fit_densities
from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.evidence.gains import Scored
from mimi_dynamics.evidence.intervals import TrainedEstimate
from mimi_dynamics.latents.sequences import Sequences
from tests.density.test_fit import SMALL

RUNS, TRAININGS, CLIPS, FRAMES, DIM = 40, 3, 100, 40, 4
SHARES = {"train": 60, "validation": 12, "test": RUNS * CLIPS}
TINY = SMALL.model_copy(update={"width": 8, "epochs": 3, "pretrain_epochs": 1, "batch_frames": 80})


def corpus() -> Sequences:
    """A VAR(1) whose clips differ in loudness, and so in what the past tells; test of all runs."""
    clips = sum(SHARES.values())
    data = PROCESSES["linear"].simulate(clips, FRAMES, DIM, seed=0)
    loudness = torch.randn(clips, generator=torch.Generator().manual_seed(1)).mul(0.2).exp()
    return replace(
        data,
        frames=data.frames * loudness.repeat_interleave(FRAMES)[:, None],
        splits=np.repeat(list(SHARES), list(SHARES.values())),
    )


def of_run(data: Sequences, run: int) -> Sequences:
    """The same data with the test clips of one run alone."""
    clip = np.arange(len(data.splits)) - SHARES["train"] - SHARES["validation"]
    others = (data.splits == "test") & (clip // CLIPS != run)
    return replace(data, splits=np.where(others, "of another run", data.splits))


def estimate(template: FitSpec, run: int) -> TrainedEstimate:
    """The gain by trainings with seeds of the run, on clips of the run."""
    clip = Scored.of(template, "test").clip
    bootstrap = ClipBootstrap(CLIPS, 500, run)
    found = []
    for seed in range(TRAININGS * run, TRAININGS * (run + 1)):
        fits = fit_densities(replace(template, seed=seed))
        gain = (fits["marginal"].nll["test"] - fits["conditional"].nll["test"]) / DIM
        found.append(bootstrap.mean(gain, clip))
    return TrainedEstimate(tuple(found))


def missed(intervals: list[dict[str, float]]) -> int:
    """Count the intervals that do not hold the mean of what all other runs find."""
    values = np.array([found["gain"] for found in intervals])
    others = (values.sum() - values) / (len(values) - 1)
    return sum(
        not found["gain_ci_low"] <= truth <= found["gain_ci_high"]
        for found, truth in zip(intervals, others, strict=True)
    )


@pytest.mark.slow
@pytest.mark.trains
def test_intervals_hold_what_other_runs_find(
    record_property: Callable[[str, object], None],
) -> None:
    """The mean of the 39 others is the truth of a run: what this estimator finds on average.

    How far that is from the known gain is another matter, which the stage `controls` measures.
    """
    data = corpus()
    template = FitSpec("real", data, "gaussian", 1, TINY, 0)
    runs = [replace(template, sequences=of_run(data, run)) for run in range(RUNS)]
    found = [estimate(job, run).metrics("gain") for run, job in enumerate(runs)]
    record_property("intervals over clips and trainings that miss", f"{missed(found)} of {RUNS}")
    assert missed(found) <= 5
