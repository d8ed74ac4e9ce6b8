"""What bet 4 is judged by: equally large, equally dear, chosen on validation, and of this run."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import bet4_other
import bet4_study
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.evidence.intervals import over_trainings
from mimi_dynamics.figures.bet4_study import NAMES, bet_lines
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.latents.loading import Loaded, load
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.report.evidence import lacking
from mimi_dynamics.report.rules import load_bets
from mimi_dynamics.studies.calm import contenders, kept
from mimi_dynamics.studies.calm.bet import Sampling, bet_params, judged_by, sampled
from mimi_dynamics.studies.calm.bet_metrics import merged
from mimi_dynamics.studies.calm.comparison import Factorisation, our_jobs, our_parameters
from mimi_dynamics.studies.calm.contenders import (
    JUDGED,
    MOST_APART,
    OURS,
    RECIPES,
    check_equal,
    equal_passes,
    recipe_shape,
)
from mimi_dynamics.studies.calm.factorised import OursJob, rssm_cost
from mimi_dynamics.studies.calm.flops import epoch_flops
from mimi_dynamics.studies.calm.kept import Job, trained_by
from mimi_dynamics.studies.calm.model import CalmTraining, make_calm, matched, moments
from mimi_dynamics.studies.calm.training import Trained, batches_of
from mimi_dynamics.studies.rssm.model import Rssm, RssmShape
from tests.generation.test_rollouts import some_clips
from tests.harness import ROOT
from tests.harness.simulation import simulate
from tests.studies.calm.test_calm import any_calm
from tests.studies.calm.test_study import keys_of, small_params, write_inputs

RULES = load_bets(ROOT / "bets.yaml").bet4.rules["2026-11-28"]
FILE = Path("metrics/detail/bet4_study.json")
PARAMS = load_params(ROOT / "params.yaml")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Inputs, one core, and contenders that are too small to be equal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    monkeypatch.setattr(contenders, "MOST_APART", 1e6)
    params = small_params()
    write_inputs(params)
    study = params.bet4_study.model_copy(update={"seeds": 2, "starts": 8})
    return params.model_copy(update={"bet4_study": study})


@pytest.mark.trains
@pytest.mark.slow
def test_the_script_writes_what_the_rule_reads_and_goes_on(
    workplace: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run trains nothing and ends at the same bytes; other settings train anew."""
    bet4_study.bet4_study(workplace)
    first = FILE.read_bytes()
    written = json.loads(first)
    assert not lacking(RULES, {"bet4_study": written})
    assert written["ratio"]["energy_score_leads_1_2_trainings"] == written["trainings"] == 2
    judged = min(
        JUDGED,
        key=lambda recipe: min(
            score for key, score in written["validation"][recipe].items() if "energy" in key
        ),
    )
    assert written["judged"] == judged
    assert written["ratio"]["parameters"] == pytest.approx(
        written[OURS]["parameters"] / written[judged]["parameters"], rel=1e-5
    )
    rows = {*RECIPES, OURS, "predictor", "var", "climatology", "persistence"}
    assert rows <= written.keys()
    assert rows <= written["test_voice"].keys()
    assert written["ratio_to"].keys() == rows - {OURS}
    page = "\n".join(bet_lines(written))
    ratio = written["ratio_to"]["var"]["energy_score_leads_1_2"]
    (row,) = [line for line in page.split("held-out voice")[0].splitlines() if NAMES["var"] in line]
    assert f" | {ratio:.3f} [" in row
    tried = page.split("on validation:")[1].split("passes over train")[0]
    for recipe, of in written["validation"].items():
        for key, score in of.items():
            if "energy" in key:
                start = f"| {NAMES[recipe]} | {key.split('_')[3]} |"
                (row,) = [line for line in tried.splitlines() if line.startswith(start)]
                assert f"| {score:.3f} " in row
    assert "has not been run" in bet_lines(None)[0]

    def never(_: object) -> None:
        pytest.fail("trained again")

    monkeypatch.setattr(kept, "trained_by", never)
    bet4_study.bet4_study(workplace)
    assert FILE.read_bytes() == first
    other = workplace.calm.model_copy(update={"lr": 1e-4})
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        bet4_study.bet4_study(workplace.model_copy(update={"calm": other}))
    # So does a state that the stage chose among the same settings.
    write_metrics(detail_path("rssm"), {"budget_nats_per_frame": 5.0})
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        bet4_study.bet4_study(workplace)


def test_judged_is_the_best_on_validation_of_the_two_recipes_of_the_authors() -> None:
    """However good a recipe is that the rule does not name."""
    scores = {"consistency": 2.0, "lsd": 1.0, "lsd_unweighted": 0.5}
    assert scores.keys() == RECIPES.keys()
    assert judged_by({name: [Sampling(1, 1.0, of)] for name, of in scores.items()}) == "lsd"


@pytest.mark.trains
@pytest.mark.slow
def test_on_another_codec_no_factorisation_of_the_run_is_used(
    workplace: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its results have the same names, its own weights, and the settings of that codec."""
    latents, normalizer, data = load(workplace)
    other = Loaded(latents, normalizer, replace(data, frames=data.frames.flip(0)))
    codec = SimpleNamespace(weights_sha256="1" * 64)
    trained = []

    def made(job: Job) -> Trained:
        trained.append(job)
        return trained_by(job)

    monkeypatch.setattr(bet4_other, "has_audio", lambda _: True)
    monkeypatch.setattr(bet4_other, "load_codec", lambda _: codec)
    monkeypatch.setattr(bet4_other, "encode_anew", lambda *_: other)
    monkeypatch.setattr(kept, "trained_by", made)
    bet4_other.bet4_other(workplace)
    written, committed = (
        json.loads((folder / "metrics/detail/bet4_other.json").read_text())
        for folder in (Path(), ROOT)
    )
    assert set(keys_of(written)) == set(keys_of(committed))
    assert written["origin"]["weights_sha256"] == codec.weights_sha256
    assert written["settings"]["codec"] == {"lyra": {"frames_per_step": 4}}
    assert all(job.data is other.sequences for job in trained)
    ours = [job for job in trained if isinstance(job, OursJob)]
    assert len(ours) == workplace.bet4_study.seeds
    assert all(job.rssm is None for job in ours)


def test_another_codec_needs_audio(workplace: Params) -> None:
    pd.DataFrame({"path": [""]}).to_parquet("data/manifest.parquet")
    with pytest.raises(InputError, match=r"^data/manifest\.parquet: no audio"):
        bet4_other.bet4_other(workplace)


def contender(parameters: int, flops: float) -> dict[str, object]:
    return {"parameters": parameters, "flops": flops, "passes": 1, "steps": 1, "checkpoints": []}


@pytest.mark.parametrize(
    ("parameters", "flops", "told"),
    [(104, 96.0, ""), (106, 100.0, "parameters"), (100, 94.0, "operations of training")],
)
def test_unequal_contenders_are_not_compared(parameters: int, flops: float, told: str) -> None:
    generator = Generator(any_calm(), some_clips(9))
    trained = {name: [Trained(generator, **contender(100, 100.0))] for name in RECIPES}
    trained[OURS] = [Trained(generator, **contender(parameters, flops))]
    if not told:
        check_equal(trained)
        return
    with pytest.raises(InputError, match=f"times the {told} of CALM by consistency"):
        check_equal(trained)


def test_passes_at_the_settings_of_this_repository_are_equally_dear() -> None:
    """Ours can come within 5 % of both, for a pass of its dynamics is cheap."""
    params = bet_params(PARAMS)
    data = simulate("white_noise", 60_000, params.latents.dim)
    rssm = params.rssm
    shape = RssmShape(data.dim, 16, 1, rssm.rec_dim, rssm.width, rssm.head, rssm.components)
    factorisation = Factorisation(Rssm(shape), 4.0)
    size = our_parameters(params, factorisation.model)
    passes, mean = equal_passes(params, data, size)
    assert passes["consistency"] == params.calm.epochs
    train, _ = batches_of(data, params, params.calm.batch_frames)
    for recipe, count in passes.items():
        calm = make_calm(matched(recipe_shape(params, data.dim, recipe), size), *moments(data))
        spent = count * epoch_flops(CalmTraining(calm, steps=1), train)
        assert abs(mean / spent - 1) < MOST_APART
    job = our_jobs(params, data, factorisation)[0]
    assert rssm_cost(job, rssm, factorisation.model).flops < mean / 2


def test_a_way_to_sample_changes_a_copy() -> None:
    generator = Generator(any_calm(), some_clips(9))
    other = sampled(generator, steps=2, temperature=0.5)
    assert (other.step.head.shape.steps, other.step.head.temperature) == (2, 0.5)
    assert (generator.step.head.shape.steps, generator.step.head.temperature) == (1, 1.0)
    weights = generator.step.state_dict()
    assert all(torch.equal(weights[n], v) for n, v in other.step.state_dict().items())


def test_a_ratio_is_paired_by_clips_and_trainings() -> None:
    """Of two trainings whose ratio is the same, the interval is that of clips: here none."""
    ours, calm = (
        over_trainings([Estimate(factor * v, np.full(3, factor * v)) for v in (1.0, 2.0)])
        for factor in (0.9, 1.0)
    )
    found = merged({"score": ours / calm})
    assert found["score_ci_low"] == pytest.approx(0.9)
    assert found["score_ci_high"] == pytest.approx(0.9)
    assert found["score_trainings"] == 2
