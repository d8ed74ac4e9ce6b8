"""A planted gain is the one that was asked for, and is seen where it is large enough."""

import pytest
import torch

from mimi_dynamics.density.fit import FitSpec
from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.evidence.gains import clip_bootstrap
from mimi_dynamics.evidence.power import GAINS, plant, smallest_gain_seen
from mimi_dynamics.latents.sequences import Sequences
from tests.density.test_fit import SMALL


def noise(frames: int) -> Sequences:
    return PROCESSES["white_noise"].simulate(frames // 40, 40, 4, seed=0)


@pytest.mark.parametrize("horizon", [1, 3])
def test_plants_the_gain_that_was_asked_for(horizon: int) -> None:
    """White noise stays white noise, and is correlated over that many frames."""
    planted = plant(noise(80_000), torch.Generator(), 0.2, horizon).frames.view(-1, 40, 4)
    late = planted[:, 20:]
    assert late.var().item() == pytest.approx(1, abs=0.02)
    correlation = (late[:, horizon:] * late[:, :-horizon]).mean()
    assert -0.5 * torch.log(1 - correlation**2).item() == pytest.approx(0.2, abs=0.02)


def test_nothing_planted_changes_nothing() -> None:
    """A gain of 0 leaves the frames as they are."""
    data = noise(4000)
    assert torch.equal(plant(data, torch.Generator(), 0.0, 2).frames, data.frames)


def test_more_frames_see_less() -> None:
    """What can be seen falls with the number of frames."""
    settings = SMALL.model_copy(update={"lags": 2})
    seen = {}
    for frames in (4000, 80_000):
        data = noise(frames)
        job = FitSpec("shuffled", data, "", 1, settings, 0)
        seen[frames] = smallest_gain_seen(job, clip_bootstrap(data, "test", 200, 0))
    assert seen[80_000] in GAINS[:5]
    assert seen[4000] is None or seen[4000] > seen[80_000]
