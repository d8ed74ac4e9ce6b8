"""Short synthetic sequences for tests."""

from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.latents.sequences import Sequences


def simulate(process: str, frames: int, dim: int) -> Sequences:
    """About `frames` frames of a process of known gain, in clips of 50."""
    return PROCESSES[process].simulate(frames // 50, 50, dim, seed=0)
