"""Free-running samples are those of the model, one step at a time, and of nothing else."""

import math

import numpy as np
import pytest
import torch

from mimi_dynamics.density.heads import HEADS
from mimi_dynamics.density.heads.scales import SCALE_FLOOR, UNIT
from mimi_dynamics.density.predictor import (
    Predictor,
    make_conditional,
    make_marginal,
)
from mimi_dynamics.density.trunk import FRAME_SCALE
from mimi_dynamics.density.var import Var
from mimi_dynamics.diagnostics.processes import RHO
from mimi_dynamics.generation.rollouts import (
    Starts,
    choose_starts,
    draw_next,
    linear_floor,
    listening_starts,
    read_past,
    roll_out,
    true_frames,
)
from mimi_dynamics.latents.sequences import Batch, Sequences
from mimi_dynamics.pipeline.errors import InputError

DIM = 3
ORDER = 4
WIDTH = 4


def some_clips(*lengths: int) -> Sequences:
    """Noise."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(sum(lengths), DIM, generator=generator)
    return Sequences(
        frames=frames,
        voiced=torch.ones(len(frames), dtype=torch.bool),
        gated=torch.zeros(len(frames), dtype=torch.bool),
        lengths=np.array(lengths),
        splits=np.full(len(lengths), "test"),
    )


def known_var(lead: int = 1) -> Var:
    """The conditional distribution of the process `linear`, `lead` frames ahead."""
    past = torch.zeros(ORDER, DIM, DIM)
    past[0] = RHO**lead * torch.eye(DIM)
    return Var(past, torch.zeros(DIM), (1 - RHO ** (2 * lead)) * torch.eye(DIM))


def unit_normal() -> Var:
    """A target that is white already."""
    return Var(torch.zeros(0, DIM, DIM), torch.zeros(DIM), torch.eye(DIM))


def known_predictor(lead: int = 1) -> Predictor:
    """The same as the predictor of a file: a gaussian head that hears the VAR's forecast only."""
    marginal = make_marginal(unit_normal(), "gaussian", WIDTH, 3)
    predictor = make_conditional(marginal, known_var(lead), WIDTH, dropout=0.3)
    linear = predictor.head.parameters_of
    forecast = slice(WIDTH + DIM, WIDTH + 2 * DIM)  # after the summary and the newest frame
    with torch.no_grad():
        predictor.trunk.gate[forecast] = 1
        linear.weight.zero_()
        linear.weight[:DIM, forecast] = torch.eye(DIM) / FRAME_SCALE
        deviation = math.sqrt(1 - RHO ** (2 * lead))
        linear.bias[DIM:] = math.log(math.expm1(deviation - SCALE_FLOOR)) - UNIT
    return predictor.eval()


def any_predictor(head: str = "gaussian") -> Predictor:
    """Away from its starting point, with targets that are not white."""
    torch.manual_seed(0)
    root = torch.eye(DIM) + 0.2 * torch.randn(DIM, DIM)
    gaussian = Var(torch.zeros(0, DIM, DIM), torch.randn(DIM), root @ root.T)
    marginal = make_marginal(gaussian, head, 16, 3)
    predictor = make_conditional(marginal, any_var(ORDER), 16, dropout=0.3)
    with torch.no_grad():
        for parameter in predictor.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return predictor.eval()


def any_var(order: int) -> Var:
    """One that uses all of its frames."""
    generator = torch.Generator().manual_seed(0)
    change = 0.05 * torch.randn(order, DIM, DIM, generator=generator)
    intercept = torch.randn(DIM, generator=generator)
    return Var(known_var().coefficients[:order] + change, intercept, known_var().covariance)


VARS = [any_var(order) for order in (1, ORDER)]


def starts_at(sequences: Sequences, *clip_and_past: tuple[int, int]) -> Starts:
    """Those and no others."""
    clip, past = np.array(clip_and_past).T
    return Starts(clip, past, sequences.lengths[clip] - past)


def test_starts_lie_on_a_grid_within_clips() -> None:
    """Every clip from its prompt on, most frames to come first; too short a clip has none."""
    starts = choose_starts(some_clips(9, 8, 17), 8, 4, most=100, longest_lead=9)
    found = list(zip(starts.clip, starts.past, starts.room, strict=True))
    assert found == [(2, 8, 9), (2, 12, 5), (0, 8, 1), (2, 16, 1)]
    assert starts.reach(5).past.tolist() == [8, 12]
    fewer = choose_starts(some_clips(200, 9), 8, 1, most=5, longest_lead=9)
    assert fewer.room.tolist() == [192, 144, 96, 48, 1]
    with pytest.raises(InputError, match=r"prompt_frames = 8: .* 10, .* here 17"):
        choose_starts(some_clips(9, 17), 8, 4, most=100, longest_lead=10)


def test_listening_starts_are_in_long_clips() -> None:
    """Evenly spaced over those that are long enough; the longest, with a short prompt, if none."""
    sequences = some_clips(30, 9, 40, 31, 35, 8)
    starts = listening_starts(sequences, 2, 20, 10)
    assert (starts.clip.tolist(), starts.past.tolist()) == ([2, 0], [20, 20])
    starts = listening_starts(sequences, 3, 20, 50)
    assert (starts.clip.tolist(), starts.past.tolist()) == ([2, 4, 3], [20, 17, 15])
    assert (starts.past + starts.room == sequences.lengths[starts.clip]).all()


def test_truth_is_counted_from_the_last_known_frame() -> None:
    """Lead 0 is the frame that is known, lead `room` the last of the clip."""
    sequences = some_clips(5, 7)
    starts = starts_at(sequences, (1, 3), (0, 4))
    frames, lengths = sequences.frames, sequences.lengths
    assert torch.equal(true_frames(frames, lengths, starts, 0), frames[[7, 3]])
    assert torch.equal(true_frames(frames, lengths, starts[:1], 4), frames[[11]])


@pytest.mark.parametrize("predictor", [any_predictor(), *map(linear_floor, VARS)])
def test_past_read_piece_by_piece_is_that_of_the_whole_clip(predictor: Predictor) -> None:
    """Features of any starts in any order."""
    sequences = some_clips(12, 30, 7)
    starts = starts_at(sequences, (1, 20), (0, 12), (1, 3), (2, 7), (1, 21), (0, 1))
    past = read_past(predictor, sequences, starts)
    clips = sequences.frames.split(sequences.lengths.tolist())
    with torch.no_grad():
        for row, (clip, known) in enumerate(zip(starts.clip, starts.past, strict=True)):
            whole = clips[clip][None]
            expected = predictor.trunk.step(whole, None)[0][0, known - 1]
            torch.testing.assert_close(past.features[row], expected)


@pytest.mark.parametrize("head", HEADS)
def test_first_step_has_the_density_of_teacher_forcing(head: str) -> None:
    """The log density of what came is the same by either way."""
    predictor, sequences = any_predictor(head), some_clips(20)
    starts = starts_at(sequences, *((0, past) for past in range(1, 20)))
    target = true_frames(sequences.frames, sequences.lengths, starts, 1)
    context, ahead = sequences.frames[None, :-1], sequences.frames[None, 1:]
    with torch.no_grad():
        forced = predictor.log_prob(Batch(context, ahead, torch.ones(1, 19).bool(), torch.empty(0)))
        past = read_past(predictor, sequences, starts)
        whitening = predictor.whitening
        free = predictor.head(past.features).log_prob(whitening.whiten(target))
    torch.testing.assert_close(free + whitening.log_determinant, forced)


def test_first_step_has_the_moments_of_teacher_forcing() -> None:
    """Mean and summed variance of many first steps are those that the gaussian head states."""
    predictor, sequences = any_predictor(), some_clips(20)
    starts = starts_at(sequences, (0, 15), (0, 9))
    batch = Batch(sequences.frames[None], sequences.frames[None], torch.zeros(1, 20).bool(), None)
    batch.scored[0, [14, 8]] = True
    with torch.no_grad():
        mean, spread = (value.flip(0) for value in predictor.mean_and_spread(batch))
    past = read_past(predictor, sequences, starts)
    torch.manual_seed(0)
    for drawn in (
        roll_out(predictor, past, np.array([2, 1]), 4000)[:, :, 0],
        draw_next(predictor, past, 4000),
    ):
        tolerance = 4 * (spread.max() / 4000).sqrt().item()
        torch.testing.assert_close(drawn.mean(0), mean, atol=tolerance, rtol=0)
        torch.testing.assert_close(drawn.var(0).sum(1), spread, rtol=0.15, atol=0)


@pytest.mark.parametrize("head", HEADS)
def test_going_on_from_a_state_equals_reading_all_again(head: str) -> None:
    """Ten steps, against the whole path through the trunk anew at every step."""
    predictor, sequences = any_predictor(head), some_clips(20, 20)
    past = read_past(predictor, sequences, starts_at(sequences, (0, 6), (1, 6)))
    torch.manual_seed(1)
    found = roll_out(predictor, past, np.array([10, 10]), 1)[0]
    torch.manual_seed(1)
    path = sequences.frames.view(2, 20, DIM)[:, :6]
    with torch.no_grad():
        for _ in range(10):
            drawn = predictor.head(predictor.trunk(path)[:, -1]).sample((1,))[0]
            path = torch.cat([path, predictor.whitening.colour(drawn)[:, None]], 1)
    torch.testing.assert_close(found, path[:, 6:], atol=1e-4, rtol=1e-4)


def test_trajectories_end_on_their_own() -> None:
    """Each has its own length; samples of one start differ."""
    predictor, sequences = any_predictor(), some_clips(20)
    past = read_past(predictor, sequences, starts_at(sequences, (0, 6), (0, 7), (0, 8)))
    paths = roll_out(predictor, past, np.array([5, 2, 1]), 3)
    lengths = (paths != 0).all(-1).sum(-1)
    assert lengths.tolist() == [[5, 2, 1]] * 3
    assert not torch.equal(paths[0], paths[1])


def test_truth_after_the_start_does_not_reach_the_samples() -> None:
    """Other frames from the start on: the same bits. One other frame before it: others."""

    def rolled(frame: int, seed: int = 0) -> torch.Tensor:
        sequences = some_clips(20)
        sequences.frames[frame:] += 1
        past = read_past(predictor, sequences, starts_at(sequences, (0, 10)))
        torch.manual_seed(seed)
        return roll_out(predictor, past, np.array([8]), 2)

    predictor = any_predictor()
    assert torch.equal(rolled(10), rolled(20))
    assert (rolled(9) != rolled(20)).all()
    assert not torch.isclose(rolled(20, seed=1), rolled(20)).any()


@pytest.mark.parametrize("var", VARS)
def test_linear_floor_is_the_var(var: Var) -> None:
    """Its density is that of VAR and residual covariance."""
    frames = some_clips(20).frames[None]
    batch = Batch(frames[:, :-1], frames[:, 1:], torch.ones(1, 19).bool(), torch.empty(0))
    with torch.no_grad():
        found = linear_floor(var).log_prob(batch)
    torch.testing.assert_close(found, var.log_prob(batch), atol=1e-4, rtol=1e-4)
