"""Bet 2: rivals are what they say, and the evidence is over the best of them."""

import json
from pathlib import Path

import pytest
import torch

import bet2_study
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.studies import differing
from mimi_dynamics.studies.rssm.baselines import fit_rivals
from mimi_dynamics.studies.rssm.bet import choose_rival
from mimi_dynamics.studies.rssm.linear_states import (
    DELAYS,
    PAST,
    delay_line,
    fit_linear_states,
    predictive_directions,
)
from mimi_dynamics.studies.rssm.sweep import RAW
from tests.harness.simulation import simulate
from tests.harness.slow_latents import write_latents
from tests.studies.rssm.test_rssm import settings, slow_and_noise
from tests.studies.rssm.test_studies import DIM, FRAMES, small_params

RIVALS = ("pca", "average_2", "slow", "slow_average_2", "vae", "delay_line", "state_space")


def made(data: Sequences) -> dict:
    """All rivals of four coordinates, fitted."""
    return fit_rivals(data, 4, settings(epochs=1), 0) | fit_linear_states(data, 4)


@pytest.fixture(scope="module")
def rivals() -> dict:
    """Those fitted to a linear process."""
    return made(simulate("linear", 4000, 6))


@pytest.mark.parametrize("name", RIVALS)
def test_no_rival_looks_ahead_or_into_another_clip(rivals: dict, name: str) -> None:
    """Its coordinates up to a frame are those without all that comes after."""
    data = simulate("linear", 500, 6)
    whole = rivals[name](data)
    changed = data.frames.clone()
    changed[25:] += 1  # from the middle of the first clip on
    later = rivals[name](data.__class__(**{**vars(data), "frames": changed}))
    assert whole.shape == (len(data.frames), 4)
    assert torch.equal(whole[:25], later[:25])
    earlier = data.frames.clone()
    earlier[:50] = 0  # all of the first clip
    cut = rivals[name](data.__class__(**{**vars(data), "frames": earlier}))
    assert torch.allclose(whole[50:], cut[50:], atol=1e-6)


def test_a_delay_line_holds_what_was(rivals: dict) -> None:
    data = simulate("linear", 500, 6)
    line = delay_line(data, torch.eye(6, 1, dtype=torch.float64))
    assert torch.equal(line[DELAYS:50, 0], data.frames[: 50 - DELAYS, 0])
    assert torch.equal(line[:, DELAYS], data.frames[:, 0])
    assert (line[0, :DELAYS] == 0).all()


def test_the_state_of_a_linear_system_is_found() -> None:
    """A slow state of two dimensions behind noise on six: nearly all of what can be known of it."""
    data, state = slow_and_noise()[:2]
    encode = fit_linear_states(data, 4)["state_space"]
    found = encode(data).double()
    found = torch.cat([found, torch.ones(len(found), 1, dtype=found.dtype)], 1)
    known = torch.linalg.lstsq(found[:, [0, 1, 4]], state.double()).solution
    left = (state - found[:, [0, 1, 4]] @ known).square().sum() / state.square().sum()
    both = torch.linalg.lstsq(data.frames.double(), state.double()).solution
    of_a_frame = (state - data.frames.double() @ both).square().sum() / state.square().sum()
    assert left < 0.8 * of_a_frame
    assert predictive_directions(data, 4).shape == (PAST * 6, 4)


class FakeSweep:
    """Ease and fidelity by name; of shuffled frames there is no ease."""

    def __init__(self, **found: tuple[float, float]) -> None:
        self.found = found

    def fidelity(self, name: str, _: str) -> Estimate:
        """That of the table."""
        return Estimate(self.found[name][0], torch.zeros(1).numpy())

    def ease(self, name: str, _: str) -> Estimate:
        """That of the table, or none."""
        return Estimate(self.found.get(name, (0, 0))[1], torch.zeros(1).numpy())


def test_a_rival_counts_if_it_keeps_as_much_and_raw_x_always() -> None:
    found = {"state": (0.5, 0.3), RAW: (0.1, 0.1), "poor": (0.4, 0.9), "rich": (0.5, 0.2)}
    counted, rival = choose_rival(FakeSweep(**found), "state", ["poor", "rich"])
    assert (counted, rival) == ((RAW, "rich"), "rich")
    counted, rival = choose_rival(FakeSweep(**found | {"rich": (0.5, 0.0)}), "state", ["rich"])
    assert rival == RAW


@pytest.mark.trains
@pytest.mark.slow
def test_the_study_writes_what_the_rules_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    write_latents(DIM, FRAMES)
    params = small_params()
    study = params.bet2_study.model_copy(
        update={"state_dims": [4], "budgets": [4.0], "trainings": 2}
    )
    params = params.model_copy(update={"bet2_study": study})
    bet2_study.bet2_study(params)
    found = json.loads(Path("metrics/detail/bet2_study.json").read_text())
    for key in ("dynamic_ease_over_rivals", "sufficiency_over_pca"):
        assert found[f"{key}_ci_low"] <= found[key] <= found[f"{key}_ci_high"]
        assert found[f"{key}_trainings"] == 2
    assert 0 <= found["collapsed"] <= 1
    assert found["rivals"][RAW]["counts"] == 1
    assert set(found["rivals"]) >= {*RIVALS, RAW}
    assert set(found["search"]) == {f"{kind}dim4_budget4" for kind in ("", "leads_", "recursive_")}
    for name, entry in found["search"].items():
        both = entry["state_innovation_bits_per_s"] + entry["residual_bits_per_s"]
        assert entry["total_bits_per_s"] == pytest.approx(both, abs=1e-3)
        assert (entry["residual_bits_per_s"] == 0) == name.startswith("recursive")
    today = found["origin"]
    assert differing(found, today, params) == []
    assert differing(found, today, params.model_copy(update={"seed": 9})) == ["seed = 0 (now 9)"]
