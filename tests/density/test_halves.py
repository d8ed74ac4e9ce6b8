"""What chooses lags does not weigh what it has chosen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.density.fit import WITHOUT_NETWORK, FitSpec, FittedDensity, fit_densities
from mimi_dynamics.density.halves import halves
from mimi_dynamics.density.stacking import stack
from mimi_dynamics.latents.sequences import Batch, Sequences
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate


def validation(data: Sequences) -> list[Batch]:
    return data.batches("validation", 1, 8, 200, delta=False)


def test_every_target_chooses_or_weighs() -> None:
    """By whole clips, which alternate."""
    data = simulate("white_noise", 5000, 2)
    batches = validation(data)
    chooses, weighs = halves(data, batches)
    frames = torch.cat([batch.frame for batch in batches]).numpy()
    chosen = torch.cat([batch.frame for batch in chooses]).numpy()
    assert np.array_equal(np.sort(np.concatenate([chosen, frames[weighs]])), np.sort(frames))
    clip = data.select("validation").clip_of_frame
    assert set(clip[chosen]) == {0, 2, 4, 6, 8}
    assert set(clip[frames[weighs]]) == {1, 3, 5, 7, 9}
    scored = torch.cat([batch.target[batch.scored] for batch in chooses])
    assert torch.equal(scored, data.select("validation").frames[chosen])


def test_a_single_clip_does_both() -> None:
    """There is nothing to divide."""
    data = simulate("white_noise", 500, 2)
    batches = validation(data)
    chooses, weighs = halves(data, batches)
    assert sum(len(batch.frame) for batch in chooses) == len(weighs) == weighs.sum()


def test_a_stack_is_weighed_by_the_clips_that_chose_nothing() -> None:
    """A density that is best only where it was chosen gets no weight."""
    weighs = np.arange(400) % 2 == 0
    nll = {
        "looked good": np.where(weighs, 9.0, 1.0),
        "is good": np.full(400, 5.0),
    }
    made = {
        name: FittedDensity(None, {"validation": of, "test": of}, weighs=weighs)
        for name, of in nll.items()
    }
    mixed = stack(made)
    assert mixed.weights["is good"] > 0.98
    assert mixed.weighs is weighs


@pytest.mark.parametrize("head", WITHOUT_NETWORK)
def test_an_offset_changes_nothing(head: str) -> None:
    """Sums over frames far from zero would lose the digits that count."""
    data = simulate("sign_flip", 10_000, 2)
    moved = replace(data, frames=data.frames + 50)
    for of in ("marginal", "conditional"):
        found, other = (
            fit_densities(FitSpec("real", each, head, 1, SMALL, 0))[of].nll["test"].mean()
            for each in (data, moved)
        )
        assert other == pytest.approx(found, abs=1e-3)
