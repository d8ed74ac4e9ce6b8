"""The energy score agrees with another implementation, with a closed form, and with itself."""

import math

import pytest
import scoringrules
import torch

from mimi_dynamics.evidence.energy_score import energy_score


def test_agrees_with_scoringrules() -> None:
    """Its fair estimator, forecast by forecast."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(7, 30, 5, generator=generator, dtype=torch.float64)
    target = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    theirs = scoringrules.es_ensemble(
        target.numpy(), samples.numpy(), m_axis=0, v_axis=-1, estimator="fair"
    )
    torch.testing.assert_close(energy_score(samples, target), torch.from_numpy(theirs))


def test_memory_bound_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits in pieces of three forecasts, of one, and at once."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(4, 10, 3, generator=generator)
    target = torch.randn(10, 3, generator=generator)
    whole = energy_score(samples, target)
    for pairs in (1, 3 * 16):
        monkeypatch.setattr("mimi_dynamics.evidence.energy_score.PAIRS_AT_ONCE", pairs)
        assert torch.equal(energy_score(samples, target), whole)


@pytest.mark.parametrize("draws", [2, 8, 32])
def test_expectation_is_the_closed_form_for_any_number_of_samples(draws: int) -> None:
    """X and y ~ N(0, I) in d dimensions: ½ E|X − X'| = Γ((d + 1) / 2) / Γ(d / 2)."""
    dim = 6
    generator = torch.Generator().manual_seed(draws)
    samples = torch.randn(draws, 40_000, dim, generator=generator)
    target = torch.randn(40_000, dim, generator=generator)
    scores = energy_score(samples, target)
    known = math.gamma((dim + 1) / 2) / math.gamma(dim / 2)
    error = scores.std().item() / math.sqrt(len(scores))
    assert scores.mean().item() == pytest.approx(known, abs=4 * error)
    assert error < 0.01


def test_right_spread_scores_best() -> None:
    """Too narrow and too wide are both worse than the truth's own distribution: proper."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, 20_000, 4, generator=generator)
    target = torch.randn(20_000, 4, generator=generator)
    scores = {s: energy_score(s * noise, target).mean().item() for s in (0.0, 0.5, 1.0, 2.0)}
    assert min(scores, key=scores.get) == 1.0
    assert scores[0.0] == pytest.approx(target.norm(dim=1).mean().item(), rel=1e-5)


def test_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        energy_score(torch.zeros(1, 3, 2), torch.zeros(3, 2))
