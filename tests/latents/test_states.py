"""Candidates get the same floor whatever their scale; states on disk keep their contract."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mimi_dynamics.evidence.bootstrap import ClipBootstrap, Estimate
from mimi_dynamics.evidence.frontier import above_frontier, frontier
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.states import at_updates, make_candidate, read_states, write_states
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.studies.rssm.baselines import moving_average, projected, slow_directions
from mimi_dynamics.studies.rssm.measures import Fidelity
from tests.harness.simulation import simulate

DATA = simulate("linear", 2000, 3)


def exact(value: float) -> Estimate:
    """Without resampling."""
    return Estimate(value, np.empty(0))


def test_scale_and_offset_do_not_matter() -> None:
    """A state must not be easy for being small."""
    small = make_candidate("z", DATA, 1e-3 * DATA.frames + 5, 1, 0).updates.frames
    torch.testing.assert_close(
        small, make_candidate("z", DATA, DATA.frames, 1, 0).updates.frames, atol=1e-2, rtol=0
    )


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_updates_are_held(stride: int) -> None:
    """Every frame has the newest update of its own clip."""
    lengths = np.array([5, 1, 994, 1000])
    data = Sequences(DATA.frames, DATA.voiced, DATA.gated, lengths, np.array(["train"] * 4))
    candidate = make_candidate("z", data, data.frames, stride, 0)
    assert candidate.updates.lengths.tolist() == [-(-n // stride) for n in lengths]
    for held, updates in zip(
        candidate.held.frames.split(lengths.tolist()),
        candidate.updates.frames.split(candidate.updates.lengths.tolist()),
        strict=True,
    ):
        for time in range(len(held)):
            assert torch.equal(held[time], updates[time // stride])
    assert torch.equal(at_updates(data, 4).frames[:3], data.frames[[0, 4, 5]])
    assert at_updates(data, 4).milliseconds(1) == 4 * data.milliseconds(1)


def test_average_stays_within_its_clip() -> None:
    """And counts what there is at its start."""
    lengths, splits = np.array([2, 3]), np.array(["train"] * 2)
    data = Sequences(DATA.frames[:5], DATA.voiced[:5], DATA.gated[:5], lengths, splits)
    x = data.frames
    expected = torch.stack([x[0], (x[0] + x[1]) / 2, x[2], (x[2] + x[3]) / 2, (x[3] + x[4]) / 2])
    torch.testing.assert_close(moving_average(data, x, 2), expected)


def test_slowest_feature_comes_first() -> None:
    """However it is mixed with a fast one."""
    slow, fast = DATA.frames[:, :1], simulate("white_noise", 2000, 1).frames
    mixed = torch.cat([slow + fast, slow - 2 * fast], 1)
    data = Sequences(mixed, DATA.voiced, DATA.gated, DATA.lengths, DATA.splits)
    found = projected(data, slow_directions(data, 1))
    assert torch.corrcoef(torch.cat([found, slow], 1).T)[0, 1].abs() > 0.99


def test_frontier_mixes_rivals() -> None:
    """Best rival that keeps at least as much, or the straight line between two."""
    rivals = [(exact(0.2), exact(0.6)), (exact(1.0), exact(0.2)), (exact(0.5), exact(0.3))]
    for fidelity, expected in ((0.1, 0.6), (0.2, 0.6), (0.6, 0.4), (1.0, 0.2)):
        assert frontier(rivals, exact(fidelity)).value == pytest.approx(expected)
    point = exact(0.6), exact(0.45)
    assert above_frontier(rivals, point).value == pytest.approx(0.05)


def test_fidelity_is_r2() -> None:
    """1 for x itself, 0 for its train mean; weights choose coordinates."""
    bootstrap = ClipBootstrap(int((DATA.splits == "test").sum()), 100, 0)
    test, mean = DATA.select("test").frames, DATA.select("train").frames.mean(0)
    whole = Fidelity(DATA, torch.ones(3))
    assert whole.of(test, "test", bootstrap).value == 1
    assert whole.of(mean.expand_as(test), "test", bootstrap).value == 0
    partly = torch.cat([test[:, :1], mean[1:].expand(len(test), -1)], 1)
    assert Fidelity(DATA, torch.tensor([1.0, 0, 0])).of(partly, "test", bootstrap).value == 1


def test_states_survive_a_round_trip(tmp_path: Path) -> None:
    """One row per clip, readable by plain pandas, the same bytes again."""
    lengths = np.array([3, 2, 4])
    latents = Latents(
        values=np.zeros((9, 5), np.float32),
        rms_db=np.zeros(9, np.float32),
        gated=np.zeros(9, bool),
        codes=np.zeros((9, 1), np.int16),
        lengths=lengths,
        clip_ids=np.array(["a", "b", "c"]),
        voices=np.array(["v", "v", "w"]),
        splits=np.array(["train", "train", "test"]),
        info={"frame_rate": 12.5},
    )
    states = np.arange(18, dtype=np.float32).reshape(9, 2)
    write_states(tmp_path / "states", latents, states)
    first = (tmp_path / "states/part-000.parquet").read_bytes()
    write_states(tmp_path / "states", latents, states)
    assert (tmp_path / "states/part-000.parquet").read_bytes() == first
    read, clips = read_states(tmp_path / "states")
    assert np.array_equal(read, states)
    assert clips.tolist() == ["a", "b", "c"]
    table = pd.read_parquet(tmp_path / "states")
    assert table["frames"].tolist() == [3, 2, 4]
    assert table["z_dyn"][1].tolist() == [6, 7, 8, 9]


def test_missing_states_say_what_to_run(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(InputError, match="no states; run the stage rssm"):
        read_states(tmp_path)
    (tmp_path / "part-000.parquet").write_bytes(b"not Parquet")
    with pytest.raises(InputError, match="not a folder of states"):
        read_states(tmp_path)
