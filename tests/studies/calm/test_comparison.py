"""Scores, costs and distances of the comparison, against known answers."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

from mimi_dynamics.density.predictor import make_conditional, make_marginal
from mimi_dynamics.density.var import Var
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.generation.rollouts import choose_starts, true_frames
from mimi_dynamics.generation.scores import Grid, LeadScores, score_paths
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.studies.calm.adaln_mlp import AdaLnMlp, Dual
from mimi_dynamics.studies.calm.bet import bet_params
from mimi_dynamics.studies.calm.contenders import JUDGED, contender_jobs
from mimi_dynamics.studies.calm.cost import CostCurve, equal_score_ratio, operations_to
from mimi_dynamics.studies.calm.decoding import Continuations, decoded_scores
from mimi_dynamics.studies.calm.factorised import rssm_cost
from mimi_dynamics.studies.calm.flops import count, epoch_flops
from mimi_dynamics.studies.calm.inputs import Factorisation
from mimi_dynamics.studies.calm.model import CalmShape, make_calm, matched, parameters_of, shape_of
from mimi_dynamics.studies.calm.samples import first_runs, recorded_paths, train_windows
from mimi_dynamics.studies.calm.study import (
    SHARES,
    WIDTHS,
    Variant,
    ablation,
    scaled,
    scaling,
    switches_that_are_on,
    thin_train,
)
from mimi_dynamics.studies.calm.windows import (
    Windows,
    WindowSpace,
    cut,
    distances,
    frechet,
    sliced_wasserstein,
)
from mimi_dynamics.studies.rssm.model import Rssm, RssmShape
from tests.harness import ROOT
from tests.harness.simulation import simulate

DIM = 4


def noise_grid(samples: int = 8) -> Grid:
    """White noise, of which nothing is predictable."""
    data = simulate("white_noise", 40_000, DIM)
    starts = choose_starts(data.select("test"), 8, 8, 400, 16)
    return Grid(data, "test", starts, [1, 4, 16], samples, 0)


def draws_like_truth(grid: Grid, scale: float = 1.0) -> torch.Tensor:
    """Independent of everything, of the law of the noise if the scale is 1."""
    generator = torch.Generator().manual_seed(5)
    shape = (grid.samples, len(grid.starts), int(grid.steps[0]), DIM)
    return scale * torch.randn(shape, generator=generator)


def test_the_true_law_has_no_skill_on_noise_and_full_diversity() -> None:
    """Like climatology at every lead; draws too narrow score worse and are less diverse."""
    grid = noise_grid()
    paths = {"true": draws_like_truth(grid), "narrow": draws_like_truth(grid, 0.3)}
    scores = LeadScores(score_paths(paths, grid), 500, 0)
    assert scores.leads == [1, 4, 16]
    for lead in scores.leads:
        skill = scores.skill("true", lead).metrics("skill")
        assert skill["skill_ci_low"] - 0.01 <= 0 <= skill["skill_ci_high"] + 0.01
    diversity = {n: (scores.overall(n, "spread") / scores.overall(n, "error")).value for n in paths}
    assert diversity["true"] == pytest.approx(1, abs=0.02)
    assert diversity["narrow"] < 0.5
    worse = (scores.overall("narrow") - scores.overall("true")).metrics("worse")
    assert worse["worse_ci_low"] > 0
    # |x − y| of two draws of noise is √2 times the norm of one.
    norm = math.sqrt(2) * math.gamma((DIM + 1) / 2) / math.gamma(DIM / 2)
    assert scores.overall("persistence").value == pytest.approx(math.sqrt(2) * norm, rel=0.03)
    assert scores.overall("true").value == pytest.approx(norm / math.sqrt(2), rel=0.03)


def scores_of(rows: dict[str, float], clips: dict[int, int]) -> LeadScores:
    """The same score at every lead, of clips that reach so many frames."""
    table = [
        {"row": row, "lead": lead, "clip": clip, "past": 8, "energy_score": value}
        for row, value in rows.items()
        for clip, reach in clips.items()
        for lead in (1, 16)
        if lead <= reach
    ]
    return LeadScores(pd.DataFrame(table), 500, 0)


def test_trainings_are_averaged_and_drawn_again() -> None:
    """`name@0` and `name@1` become `name`, whose interval spans the two; pairs stay pairs."""
    scores = scores_of({"a@0": 1.0, "a@1": 3.0, "b": 5.0, "c@0": 2.0, "c@1": 6.0}, {0: 16, 1: 16})
    found = scores.overall("a").metrics("a")
    assert found == pytest.approx({"a": 2.0, "a_ci_low": 1.0, "a_ci_high": 3.0})
    assert scores.overall("b").metrics("b") == pytest.approx(
        {"b": 5, "b_ci_low": 5, "b_ci_high": 5}
    )
    ratio = (scores.overall("a") / scores.overall("c")).metrics("ratio")
    assert ratio == pytest.approx({"ratio": 0.5, "ratio_ci_low": 0.5, "ratio_ci_high": 0.5})
    assert first_runs({"a@0": 1, "a@1": 2, "b": 3}) == {"a": 1, "b": 3}


def test_few_long_clips_make_no_empty_draws() -> None:
    """One of four clips reaches the longest lead: every ratio is a number."""
    scores = scores_of({"a": 2.0, "b": 4.0}, {0: 1, 1: 1, 2: 1, 3: 16})
    for ratio in (scores.at("a", 16) / scores.at("b", 16), scores.overall("a")):
        assert ratio.resamples == pytest.approx(ratio.value)


def test_recorded_paths_are_what_came() -> None:
    """Lead by lead, and zeros where nothing is drawn."""
    grid = noise_grid()
    paths, gated = recorded_paths(grid)
    clips = grid.data.select("test")
    for lead in grid.leads:
        here = grid.steps >= lead
        truth = true_frames(clips.frames, clips.lengths, grid.starts[here], lead)
        assert torch.equal(paths[here, lead - 1], truth)
    assert not paths[grid.steps < 16, 15].any()
    assert gated.shape == (*paths.shape[:2], 1)


def test_windows_of_train_are_cut_clip_by_clip_and_not_from_silence() -> None:
    train = noise_grid().data.select("train")
    windows = train_windows(train, 5)
    first = train.lengths[0] // 5
    assert torch.equal(windows[first], train.frames[train.lengths[0] :][:5].flatten())
    marked = replace(train, gated=train.gated.index_fill(0, torch.tensor([6]), 1))
    assert torch.equal(train_windows(marked, 5), torch.cat([windows[:1], windows[2:]]))


def exact(*values: float) -> list[Estimate]:
    """Estimates without uncertainty."""
    return [Estimate(value, np.full(3, value)) for value in values]


def test_equal_score_costs_are_interpolated() -> None:
    """In the logarithm; to the worse of the last scores; a first point may be reached at once."""
    slow = CostCurve([1e3, 1e5], exact(4.0, 2.0))
    fast = CostCurve([1e2, 1e3, 1e4], exact(5.0, 3.0, 3.5))
    targets = np.array([3.0, 2.0, 5.0, 3.0])
    assert operations_to(slow, targets) == pytest.approx(np.array([1e4, 1e5, 1e3, 1e4]))
    ratio = equal_score_ratio(fast, slow)  # both reach 3.5, at 10^2.75 and at 10^3.5
    assert ratio.value == pytest.approx(10**-0.75)
    assert ratio.resamples == pytest.approx([10**-0.75] * 3)
    assert equal_score_ratio(slow, fast).value == pytest.approx(10**0.75)
    worse = CostCurve([1.0, 10.0], exact(2.0, 9.0))  # got worse: its best is its first
    assert operations_to(worse, np.full(4, 2.0)).tolist() == [1.0] * 4


def test_distances_know_their_closed_forms() -> None:
    """Fréchet of two Gaussians; Wasserstein of a shift is the mean length of its shadows."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(200_000, 2))
    second = rng.normal(size=(200_000, 2)) * np.array([2.0, 0.5]) + np.array([1.0, 0.0])
    assert frechet(first, second) == pytest.approx(1 + 1 + 0.25, rel=0.02)
    assert frechet(first, first) == pytest.approx(0, abs=1e-9)
    shifted = sliced_wasserstein(first, first + np.array([0.5, -1.5]))
    assert shifted == pytest.approx(1.0)
    assert sliced_wasserstein(first, 2 * first) == pytest.approx(math.sqrt(2 / math.pi), rel=0.01)


def test_another_law_is_further_away_than_the_same() -> None:
    """At equal n; slower noise has other windows though its single frames are the same."""
    rng = np.random.default_rng(0)
    count, length = 600, 6
    law = rng.normal(size=(4, count, length))
    slow = np.repeat(rng.normal(size=(count, 2)), 3, axis=1)
    space = WindowSpace(law[0], 0)
    clip = np.arange(count) // 3
    found = distances(Windows({"same": law[1], "slow": slow, "t": law[2]}, clip), space, "t", 0)
    for distance in ("frechet", "sliced_wasserstein"):
        same, other = (found[name][distance].metrics("d") for name in ("same", "slow"))
        assert same["d_ci_high"] < other["d_ci_low"]
        assert same["d_ci_low"] <= same["d"] <= same["d_ci_high"]


def test_windows_are_whole_and_in_order() -> None:
    """Nothing past the end of a path."""
    paths = torch.arange(24.0).view(2, 12, 1)
    windows, start = cut(paths, np.array([12, 7]), 5)
    assert windows[:, 0].tolist() == [0, 5, 12]
    assert windows[0].tolist() == [0, 1, 2, 3, 4]
    assert start.tolist() == [0, 0, 1]


def test_products_are_counted() -> None:
    """2abc for a product; a tangent costs as much again; training three times a pass."""
    layer = nn.Linear(8, 16)
    assert count(lambda: layer(torch.randn(5, 8))) == 2 * 5 * 8 * 16
    query, known = torch.randn(3, 2, 5, 8, requires_grad=True), torch.randn(3, 2, 9, 8)
    seen = torch.arange(9)[None, None, None] < torch.arange(3, 8)[:, None]  # 5 of 9 on average

    def attend() -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, known, known, attn_mask=seen)

    attention = 2 * (2 * 3 * 2 * 5 * 5 * 8)  # of queries with keys, of shares with values
    assert count(attend) == attention
    assert count(lambda: attend().sum().backward()) == 3.5 * attention  # scores once more
    network, inputs, time = AdaLnMlp(8, 8, 8, 8, 2, 1), torch.randn(5, 8), torch.rand(5, 1)
    plain = count(lambda: network(inputs, [time], inputs))
    dual = [Dual(time, torch.ones_like(time))]
    moving = count(lambda: network.dual(Dual(inputs, torch.ones_like(inputs)), dual, inputs))
    assert moving == 2 * plain - 2 * 5 * 8 * 8  # the context does not move

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(DIM, 32), nn.Linear(32, 1))

        def forward(self, batch: Batch) -> torch.Tensor:
            return self.layers(batch.context[batch.scored]).square()[:, 0]

    frames = torch.randn(3, 10, DIM)
    scored = torch.ones(3, 10, dtype=torch.bool)
    batch = Batch(frames, frames, scored, torch.arange(30))
    model, rows = Model(), 8 * 30
    forward = 2 * rows * (DIM * 32 + 32)
    backward = forward + 2 * rows * 32  # of weights; and of the hidden layer's output
    assert epoch_flops(model, [batch] * 8) == forward + backward
    assert all(p.grad is None for p in model.parameters())


def test_operations_on_rows_drawn_at_random_are_counted_the_same_every_time() -> None:
    """Whatever was drawn before."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(DIM, 1)

        def forward(self, batch: Batch) -> torch.Tensor:
            rows = batch.context[batch.scored]
            return self.layer(rows[torch.rand(len(rows)) < 0.5])[:, 0]

    frames = torch.randn(3, 10, DIM)
    batch = Batch(frames, frames, torch.ones(3, 10, dtype=torch.bool), torch.arange(30))
    model, found = Model(), set()
    for seed in range(5):
        torch.manual_seed(seed)
        found.add(epoch_flops(model, [batch] * 8))
    assert len(found) == 1


def test_contenders_are_as_large_and_ablations_differ() -> None:
    """CALM within 5 % of ours at every size; nothing is trained twice as if it were a change."""
    params = bet_params(load_params(ROOT / "params.yaml"))
    data = simulate("white_noise", 60_000, params.latents.dim)
    rssm = params.rssm
    shape = RssmShape(data.dim, 16, 1, rssm.rec_dim, rssm.width, rssm.head, rssm.components)
    found = Factorisation(Rssm(shape), 4.0)
    for width, recipe in product(WIDTHS, JUDGED):
        jobs = scaled(params, data, found, recipe, width, 1.0)
        calm, ours = jobs[recipe], jobs["ours"]
        model = Rssm(replace(shape, width=ours.changes["width"]))
        state = Var(torch.zeros(params.predict.var_order, 16, 16), torch.zeros(16), torch.eye(16))
        marginal = make_marginal(state, params.head, ours.width, params.predict.components)
        wanted = parameters_of(model, make_conditional(marginal, state, ours.width, 0.0))
        whole = matched(calm.shape, calm.parameters)
        made = make_calm(whole, torch.zeros(data.dim), torch.ones(data.dim))
        assert parameters_of(made) == pytest.approx(wanted, rel=0.05)
        # Its factorisation leaves more than half of CALM's operations to the dynamics of ours.
        settings = rssm.model_copy(update=ours.changes)
        assert rssm_cost(ours, settings, model).flops < ours.operations / 2
    first = {name: of[0] for name, of in contender_jobs(params, data, found, JUDGED).items()}
    switched = ablation(params, first)
    shapes = [job.shape for of, job in switched.items() if of.row == "consistency"]
    assert len({*shapes, first["consistency"].shape}) == len(shapes) + 1 == 7
    assert switched[Variant("consistency", without="head_batch")].shape.head.batch == 1
    assert switched[Variant("lsd", without="short_context")].shape.short_frames == 0
    assert switched[Variant("ours", without="rollout_loss")].changes == {"rollout_weight": 0.0}
    cells = scaling(params, data, found, "lsd")
    assert len(cells) == 3 * (len(WIDTHS) * len(SHARES) - 1)
    names = [of.name for of in (*switched, *cells)]
    assert len(set(names)) == len(names)


def test_only_what_is_on_is_switched_off() -> None:
    """One stabiliser at a time, and those of consistency training for that alone."""
    shape = shape_of(load_params(ROOT / "params.yaml").calm, DIM)

    def names(**changes: object) -> set[str]:
        changed: CalmShape = replace(shape, head=replace(shape.head, **changes))
        return set(switches_that_are_on(changed))

    assert "tangent_normalisation" not in names()
    assert names(tangent_normalisation=True) == names() | {"tangent_normalisation"}
    assert names(batch=1) == names() - {"head_batch"}
    gone = {"tangent_warmup", "time_proposal"}
    assert names(kind="flow_matching", steps=16) == names() - gone
    assert names(kind="lsd") == names() - {"tangent_warmup"}


def test_train_is_thinned_by_clips() -> None:
    """A quarter of the clips of train, all of the others."""
    data = simulate("white_noise", 4000, 2)
    thin = thin_train(data, 0.25)
    for split, share in (("train", 0.25), ("validation", 1), ("test", 1)):
        kept, all_clips = (int((d.splits == split).sum()) for d in (thin, data))
        assert kept == pytest.approx(share * all_clips, abs=1)


def tone(frames: torch.Tensor) -> np.ndarray:
    """Decode the first coordinate of each frame to the loudness of 80 ms of a tone."""
    level = frames[:, 0].repeat_interleave(1920).exp()
    return (0.01 * level * torch.sin(torch.arange(len(level)) * 0.2)).numpy()


def test_the_sound_of_gated_frames_does_not_count() -> None:
    """Neither what is drawn there nor what was; starts with nothing else are left out."""
    grid = noise_grid(2)
    data, paths = grid.data, draws_like_truth(grid)
    gated = torch.arange(len(data.frames)) % 3 == 0
    marked = replace(grid, data=replace(data, gated=gated))
    _, inside = recorded_paths(marked)
    other = replace(
        marked.data, frames=torch.where(gated[:, None], data.frames.flip(0), data.frames)
    )
    scores = ["log_mel_distance", "log_mel_energy_score"]
    found = decoded_scores(Continuations("a", paths, marked), tone)
    for changed in (
        Continuations("a", paths, replace(marked, data=other)),
        Continuations("a", torch.where(inside, 1.0, paths), marked),
    ):
        pd.testing.assert_frame_equal(decoded_scores(changed, tone), found, check_exact=True)
    assert (decoded_scores(Continuations("a", paths, grid), tone) != found)[scores].all(axis=None)
    silent = replace(marked, data=replace(data, gated=gated | True))
    with pytest.raises(InputError, match="all that could be decoded"):
        decoded_scores(Continuations("a", paths, silent), tone)
