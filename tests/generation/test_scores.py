"""Forecasts by those who know the truth score as theory says, whichever way they are drawn."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import chi2

from mimi_dynamics.density.predictor import save_predictor
from mimi_dynamics.diagnostics.processes import PROCESSES, RHO
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.energy_score import energy_score
from mimi_dynamics.generation.generator import STARTS_PER_JOB, Generator, Grid
from mimi_dynamics.generation.rollouts import (
    choose_starts,
    linear_floor,
    read_past,
    roll_out,
    true_frames,
)
from mimi_dynamics.generation.scores import (
    LeadScores,
    draw_all,
    score_forecasts,
    score_paths,
    score_piece,
    scores_of_each_lead,
    skill_horizon,
)
from tests.generation.test_rollouts import DIM, WIDTH, known_predictor, known_var, some_clips

LEADS = [1, 2, 4, 8, 16]
LIMIT = 2.0  # of the norm of a frame; it is a quantile of train, whose share is known
SHARE = float(chi2(DIM).cdf(LIMIT**2))


@pytest.fixture(scope="module")
def grid() -> Grid:
    """Starts in 800 clips of a VAR(1), and other clips of it as train."""
    process = PROCESSES["linear"].simulate(clips=1000, frames=32, dim=DIM, seed=0)
    names = {"train": "test", "validation": "train", "test": "train"}
    data = replace(process, splits=np.array([names[split] for split in process.splits]))
    starts = choose_starts(data.select("test"), 4, 12, most=10_000, longest_lead=16)
    return Grid(data, "test", starts, LEADS, samples=8, seed=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Predictors of every lead that know the process."""
    folder = tmp_path_factory.mktemp("predictors")
    paths = {lead: folder / f"k{lead}.safetensors" for lead in LEADS}
    for lead, path in paths.items():
        info = {"head": "gaussian", "width": WIDTH, "components": 3, "context_frames": 0}
        save_predictor(known_predictor(lead), path, info)
    return paths


def score_all(grid: Grid, files: dict[int, Path]) -> pd.DataFrame:
    """Score all forecasts that know the process, in one piece and in this process."""
    var = Generator(linear_floor(known_var()), grid.data)
    return score_piece({"rollout": files[1], "var": var}, files, grid)


@pytest.fixture(scope="module")
def table(grid: Grid, files: dict[int, Path]) -> pd.DataFrame:
    """Their scores, where a share of train that is known counts as survival."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mimi_dynamics.generation.scores.TRAIN_SHARE", SHARE)
        return score_all(grid, files)


@pytest.mark.parametrize("lead", LEADS)
def test_truth_known_nothing_is_lost_by_running_free(table: pd.DataFrame, lead: int) -> None:
    """No gap to the direct predictor, and the skill of the process: 1 − √(1 − ρ^2k)."""
    scores = LeadScores(table[table["lead"] == lead], 1000, seed=0)
    starts = {1: 2400, 2: 2400, 4: 2400, 8: 1600, 16: 1600}[lead]
    assert scores.counts(lead) == {"starts": starts, "clips": 800}
    gap = (scores.at("rollout", lead) - scores.at("direct", lead)).metrics("gap")
    assert gap["gap_ci_low"] <= 0 <= gap["gap_ci_high"]
    assert gap["gap_ci_high"] - gap["gap_ci_low"] < 0.1
    for row in ("rollout", "direct", "var"):
        skill = scores.skill(row, lead).metrics("skill")
        known_skill = 1 - math.sqrt(1 - RHO ** (2 * lead))
        assert skill["skill_ci_low"] - 0.01 <= known_skill <= skill["skill_ci_high"] + 0.01
    assert scores.skill("climatology", lead).value == 0


def test_survival_is_the_share_within_the_limit(table: pd.DataFrame) -> None:
    """Samples and truth lie within the quantile of train as often as train itself."""
    for (row, lead), rows in table.groupby(["row", "lead"]):
        if row != "persistence":  # two samples alike
            assert rows["survival"].mean() == pytest.approx(SHARE, abs=0.03), (row, lead)
        assert rows["true_survival"].mean() == pytest.approx(SHARE, abs=0.04), (row, lead)


def test_threads_and_earlier_draws_do_not_matter(grid: Grid, files: dict[int, Path]) -> None:
    """The same bits on two threads and from another state of the generator, left as it was."""
    once, threads = score_all(grid, files), torch.get_num_threads()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    torch.set_num_threads(3 - min(threads, 2))  # 2, or 1 where there are more
    try:
        again = score_all(grid, files)
    finally:
        torch.set_num_threads(threads)
    pd.testing.assert_frame_equal(again, once, check_exact=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_feeding_back_means_is_worse(grid: Grid) -> None:
    """The score notices what must not be done: four steps of means have no spread."""
    predictor, starts = known_predictor(), grid.starts.reach(4)
    past = read_past(predictor, grid.clips, starts)
    torch.manual_seed(0)
    target = true_frames(grid.clips.frames, grid.clips.lengths, starts, 4)
    honest = roll_out(predictor, past, np.full(len(starts), 4), 8)[:, :, -1]
    newest = true_frames(grid.clips.frames, grid.clips.lengths, starts, 0)
    means = (RHO**4 * newest).expand_as(honest)
    assert energy_score(means, target).mean() > 1.2 * energy_score(honest, target).mean()


@pytest.fixture
def small() -> Grid:
    """A few pieces, the last of which cannot reach the longest lead."""
    clips = some_clips(60, 40, 30)
    data = replace(clips, splits=np.array(["test", "test", "train"]))
    starts = choose_starts(data.select("test"), 4, 1, most=1000, longest_lead=16)
    return Grid(data, "test", starts, LEADS, samples=3, seed=1)


def test_pieces_are_the_grid(small: Grid) -> None:
    """Every start once, as far as it reaches, with noise of its own."""
    pieces = small.pieces("test")
    assert [len(piece.starts) for piece in pieces] == [STARTS_PER_JOB] * 2 + [28]
    for name in ("clip", "past", "room"):
        joined = np.concatenate([getattr(piece.starts, name) for piece in pieces])
        assert np.array_equal(joined, getattr(small.starts, name))
    assert np.array_equal(np.concatenate([piece.steps for piece in pieces]), small.steps)
    assert [piece.leads for piece in pieces] == [LEADS, LEADS, LEADS[:4]]
    seeds = [piece.seed for stream in ("test", "other") for piece in small.pieces(stream)]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("cores", [1, 2])
def test_paths_are_scored_as_forecasts_are(
    small: Grid, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn first and kept, or a piece at a time: the same bits of the same stream, by row."""
    monkeypatch.setattr("mimi_dynamics.pipeline.parallel.available_cores", lambda: cores)
    generator = Generator(linear_floor(known_var()), small.data)
    kept = score_paths(draw_all({"first": generator, "second": generator}, small), small)
    passing = score_forecasts({"first": generator}, {}, small, "test")
    order = ["lead", "clip", "past"]
    first, second, expected = (
        of.loc[of["row"] == row].drop(columns="row").sort_values(order, ignore_index=True)
        for of, row in ((kept, "first"), (kept, "second"), (passing, "first"))
    )
    pd.testing.assert_frame_equal(first, expected, check_exact=True)
    pd.testing.assert_frame_equal(second, expected, check_exact=True)


def test_states_become_frames_where_they_are_scored(small: Grid) -> None:
    """A renderer that shifts every frame is seen in the error, by either way of drawing."""

    class Shift:
        def generate(self, z_dyn: torch.Tensor) -> torch.Tensor:
            return z_dyn + 100

    generator = Generator(linear_floor(known_var()), small.data, Shift())
    piece = small.pieces("test")[0]
    kept = score_paths({"shifted": generator.paths("test", piece.starts, piece.steps, 3)}, piece)
    for of in (kept, score_piece({"shifted": generator}, {}, piece)):
        shifted = of[of["row"] == "shifted"]
        assert shifted["error"].to_numpy() == pytest.approx(100 * math.sqrt(DIM), rel=0.1)
        assert (shifted["survival"] == 0).all()


def test_means_are_paired_by_start_whatever_the_order_of_the_table() -> None:
    """A difference of one at every start has no interval, though the scores have a wide one."""
    rng = np.random.default_rng(0)
    starts = pd.DataFrame({"lead": 4, "clip": rng.integers(5, 25, 200), "past": np.arange(200)})
    scores = rng.normal(size=200) + starts["clip"]
    table = pd.concat(
        starts.assign(row=row, energy_score=scores + shift).sample(frac=1, random_state=shift)
        for row, shift in {"climatology": 4, "rollout": 1, "direct": 0}.items()
    )
    found = LeadScores(table, 500, seed=0)
    assert found.counts(4) == {"starts": 200, "clips": 20}
    assert found.at("direct", 4).value == pytest.approx(scores.mean())
    assert found.at("direct", 4).resamples.std() > 0.5
    gap = found.at("rollout", 4) - found.at("direct", 4)
    np.testing.assert_allclose([gap.value, *gap.resamples], 1)
    assert found.skill("rollout", 4).value == pytest.approx(3 / (scores.mean() + 4))


def test_each_lead_draws_only_the_clips_that_reach_it() -> None:
    """One of three clips reaches the longest lead: no interval there, and no draw is lost."""
    reach = {0: 1, 1: 1, 2: 16}
    table = pd.DataFrame(
        {"row": "climatology", "lead": lead, "clip": clip, "past": 8, "energy_score": float(clip)}
        for clip, longest in reach.items()
        for lead in (1, 16)
        if lead <= longest
    )
    scores = scores_of_each_lead(table, 500, seed=0)
    assert [scores[lead].counts(lead)["clips"] for lead in (1, 16)] == [3, 1]
    assert scores[1].at("climatology", 1).resamples.shape == (500,)
    np.testing.assert_array_equal(scores[16].at("climatology", 16).resamples, np.full(500, 2.0))


def test_skill_horizon_is_unbroken() -> None:
    """It ends before the first interval that reaches 0, whatever comes after."""
    spread = np.linspace(-1, 1, 101)
    skills = {lead: Estimate(v, v + spread) for lead, v in {4: 0.5, 1: 2, 8: 2, 2: 1.5}.items()}
    assert skill_horizon(skills) == 2
    assert skill_horizon({1: skills[1], 2: skills[2]}) == 2
    assert skill_horizon({1: skills[4]}) == 0
