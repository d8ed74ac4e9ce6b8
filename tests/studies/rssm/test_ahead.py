"""What is asked of a state about frames to come, and states of two speeds."""

import math
from dataclasses import replace

import pytest
import torch

from mimi_dynamics.studies.rssm.ahead import LEADS, NEGATIVES, Ahead, Contrast, Likelihood
from mimi_dynamics.studies.rssm.model import RssmShape, TwoSpeedRssm
from mimi_dynamics.studies.rssm.networks import SLOW_FRAMES
from mimi_dynamics.studies.rssm.training import encode_states
from tests.harness.simulation import simulate

CLIPS, TIME, DIM, STATE_DIM = 6, 30, 3, 4
OBJECTIVES = [Likelihood, Contrast]


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Models of every run are the same."""
    torch.manual_seed(0)


def drawn(*size: int) -> torch.Tensor:
    """Give draws of N(0, 1), the same each time."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("made", OBJECTIVES)
def test_only_targets_after_a_state_are_asked_for(made: type[Ahead]) -> None:
    """The first frames have no state so many frames before them: of these less is asked."""
    objective = made(STATE_DIM, DIM, 8)
    held, frames = drawn(CLIPS, TIME, STATE_DIM), drawn(CLIPS, TIME, DIM)
    scored = torch.ones(CLIPS, TIME, dtype=torch.bool)
    lost = objective(held, frames, scored)
    assert lost.shape == (CLIPS, TIME)
    assert (lost[:, : min(LEADS)] == 0).all()
    assert (lost[:, max(LEADS) :] != 0).all()
    short = objective(held[:, : max(LEADS)], frames[:, : max(LEADS)], scored[:, : max(LEADS)])
    assert torch.isfinite(short).all()


@pytest.mark.parametrize("made", OBJECTIVES)
def test_a_state_is_asked_about_later_frames_alone(made: type[Ahead]) -> None:
    """The gradient of one target reaches the states 1, 2 and 4 frames before it and no others."""
    objective = made(STATE_DIM, DIM, 8)
    held = drawn(CLIPS, TIME, STATE_DIM).requires_grad_()
    scored = torch.ones(CLIPS, TIME, dtype=torch.bool)
    objective(held, drawn(CLIPS, TIME, DIM), scored)[0, 20].backward()
    assert held.grad is not None
    reached = held.grad.abs().sum(-1).nonzero().tolist()
    assert reached == [[0, 20 - lead] for lead in sorted(LEADS, reverse=True)]


def test_a_state_that_knows_nothing_finds_the_frame_by_chance() -> None:
    objective = Contrast(STATE_DIM, DIM, 8)
    scored = torch.ones(CLIPS, TIME, dtype=torch.bool)
    lost = objective(torch.zeros(CLIPS, TIME, STATE_DIM), torch.zeros(CLIPS, TIME, DIM), scored)
    expected = torch.full((CLIPS, TIME - max(LEADS)), math.log(NEGATIVES + 1))
    torch.testing.assert_close(lost[:, max(LEADS) :], expected)


def test_negatives_are_targets() -> None:
    """What is no target, such as padding, moves no loss of the others."""
    objective = Contrast(STATE_DIM, DIM, 8)
    held, frames = drawn(CLIPS, TIME, STATE_DIM), drawn(CLIPS, TIME, DIM)
    scored = torch.ones(CLIPS, TIME, dtype=torch.bool)
    scored[:, 25:] = False
    other = frames.clone()
    other[:, 25:] = 100.0
    losses = []
    for of in (frames, other):
        torch.manual_seed(0)
        losses.append(objective(held, of, scored)[:, :25])
    assert torch.equal(*losses)


def test_half_of_a_state_of_two_speeds_is_held() -> None:
    """It is whitened like any other, and held from every fourth frame of each clip on."""
    model = TwoSpeedRssm(RssmShape(DIM + 3, STATE_DIM, 1, 4, 8, "gaussian", 1)).eval()
    data = simulate("linear", 500, DIM + 3)
    model.whitening.settle(encode_states(model, data))
    states = encode_states(model, data)
    torch.testing.assert_close(states.T.cov(), torch.eye(STATE_DIM), atol=0.01, rtol=0)
    slow, fast = states.view(-1, int(data.lengths[0]), STATE_DIM).tensor_split(2, -1)
    time = torch.arange(1, slow.shape[1])
    moved = (slow[:, 1:] - slow[:, :-1]).abs().amax(-1) > 1e-5
    assert not moved[:, time % SLOW_FRAMES != 0].any()
    assert moved[:, time % SLOW_FRAMES == 0].all()
    assert (fast[:, 1:] != fast[:, :-1]).any(-1).all()


def test_where_no_frame_is_a_target_nothing_is_asked() -> None:
    objective = Contrast(STATE_DIM, DIM, 8)
    none = torch.zeros(CLIPS, TIME, dtype=torch.bool)
    lost = objective(drawn(CLIPS, TIME, STATE_DIM), drawn(CLIPS, TIME, DIM), none)
    assert torch.isfinite(lost).all()


def test_a_state_of_two_speeds_does_not_look_ahead() -> None:
    model = TwoSpeedRssm(RssmShape(DIM + 3, STATE_DIM, 1, 4, 8, "gaussian", 1)).eval()
    data = simulate("linear", 500, DIM + 3)
    later = data.frames.clone()
    later[25:] += 1
    changed = encode_states(model, replace(data, frames=later))
    torch.testing.assert_close(encode_states(model, data)[:25], changed[:25])
