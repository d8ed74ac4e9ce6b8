"""Bits that a model saves on codes: known answers, no look ahead, the same every time."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import codes as stage
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.evidence.bootstrap import ClipBootstrap
from mimi_dynamics.figures.codes import codes_figure
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.studies.codes.data import (
    CodeData,
    add_vectors,
    fit_frequencies,
    fit_vectors,
    make_code_data,
)
from mimi_dynamics.studies.codes.fits import fit_all
from mimi_dynamics.studies.codes.model import CodeModel
from mimi_dynamics.studies.codes.study import by_codebook, split_metrics
from tests.harness import ROOT

BINS = 4
CLIP_FRAMES = 50
STAYS = 0.7  # probability that a chain keeps its state; all others are equally likely


def settings(**changes: object) -> Params:
    """Those of the repository, with a small model of codes."""
    params = load_params(ROOT / "params.yaml")
    small = {"dim": 8, "width": 32, "dropout": 0.0, "lr": 0.01, "pretrain_epochs": 3, "epochs": 3}
    return params.model_copy(update={"codes": params.codes.model_copy(update=small | changes)})


def latents_of(codes: np.ndarray) -> Latents:
    """Latents that tell the codes, (frames, codebooks), in clips of `CLIP_FRAMES` frames."""
    clips = len(codes) // CLIP_FRAMES
    shares = np.repeat(["train", "validation", "test"], [3, 1, 1])
    splits = shares[np.arange(clips) * len(shares) // clips]
    one_hot = np.eye(BINS, dtype=np.float32)[codes].reshape(len(codes), codes.shape[1] * BINS)
    return Latents(
        values=one_hot,
        rms_db=np.zeros(len(codes), np.float32),
        gated=np.zeros(len(codes), bool),
        codes=codes.astype(np.int16),
        lengths=np.full(clips, CLIP_FRAMES),
        clip_ids=np.array([f"clip-{number}" for number in range(clips)]),
        voices=np.full(clips, "voice"),
        splits=splits,
        info={"codec": "made up", "frame_rate": 12.5},
    )


def uniform_codes(frames: int) -> np.ndarray:
    """Independent codes of two codebooks."""
    return np.random.default_rng(0).integers(0, BINS, (frames, 2))


def chain_codes(frames: int) -> np.ndarray:
    """A chain over frames, and in the second codebook a noisy copy of the first."""
    generator = np.random.default_rng(0)
    moves = generator.random((frames, 2)) >= STAYS
    steps = moves * generator.integers(1, BINS, (frames, 2))
    first = steps[:, 0].cumsum() % BINS
    return np.stack([first, (first + steps[:, 1]) % BINS], 1)


def entropy_of_a_step() -> float:
    """In bits, of staying or going to any of the others."""
    moves = (1 - STAYS) / (BINS - 1)
    return -STAYS * math.log2(STAYS) - (1 - STAYS) * math.log2(moves)


def surprise_of_steps(data: CodeData) -> list[float]:
    """Mean bits of the steps that the test frames really took: over frames, then within each."""
    codes = data.sequences.select("test").frames
    frame = torch.cat([batch.frame for batch in data.batches("test")])
    stays = [codes[frame, 0] == codes[frame - 1, 0], codes[frame, 1] == codes[frame, 0]]
    bits = -math.log2(STAYS), -math.log2((1 - STAYS) / (BINS - 1))
    return [torch.where(of, *bits).mean().item() for of in stays]


def measured(codes: np.ndarray) -> dict[str, float]:
    """The metrics of the test split, at one frame a second."""
    params = settings()
    data = make_code_data(latents_of(codes), BINS, params)
    bootstrap = ClipBootstrap(int((data.sequences.splits == "test").sum()), 100, 0)
    return split_metrics(fit_all(data, params), data, "test", bootstrap, 1.0)


@pytest.mark.trains
def test_independent_codes_save_nothing() -> None:
    """Neither by their frequencies, nor within a frame, nor from the past."""
    found = measured(uniform_codes(20_000))
    assert found["nominal_bits_per_s"] == 4
    for name in ("by_frequencies", "within_frame", "from_past", "from_past_beyond_shuffled"):
        assert found[f"saved_share_{name}"] == pytest.approx(0, abs=0.003)


@pytest.mark.trains
def test_a_chain_is_coded_at_its_entropy_rate() -> None:
    """And what one codebook tells of the next is found within the frame, not in the past."""
    codes, step = chain_codes(20_000), entropy_of_a_step()
    found = measured(codes)
    # The steps of so few test frames are more or less surprising than those of the chain at large.
    ahead, within = surprise_of_steps(make_code_data(latents_of(codes), BINS, settings()))
    assert (ahead + within) / 2 == pytest.approx(step, abs=0.05)
    assert found["frequencies_bits_per_s"] == pytest.approx(4, abs=0.02)
    assert found["within_frame_bits_per_s"] == pytest.approx(2 + within, abs=0.03)
    assert found["given_past_bits_per_s"] == pytest.approx(ahead + within, abs=0.03)
    # A frame of the shuffled clip tells nothing but how often its clip has each code.
    assert found["shuffled_bits_per_s"] == pytest.approx(2 + within, abs=0.03)
    expected = 1 - (ahead + within) / 4
    assert found["saved_share_over_frequencies"] == pytest.approx(expected, abs=0.01)
    parts = ("by_frequencies", "within_frame", "from_past")
    total = sum(found[f"saved_share_{part}"] for part in parts)
    assert found["saved_share"] == pytest.approx(total)
    assert found["codebooks"]["q02"]["given_past_bits"] == pytest.approx(within, abs=0.02)


@pytest.fixture(scope="module")
def small() -> tuple[CodeData, CodeModel]:
    """Codes, and a model of them that sees the past, with weights at random."""
    params = settings()
    data = make_code_data(latents_of(chain_codes(2000)), BINS, params)
    torch.manual_seed(0)
    decoded = data.as_vectors()
    var = fit_var(decoded.batches("train"), decoded.batches("validation"), 2)
    frequencies = fit_frequencies(data.batches("train"), data.batches("validation"), BINS)
    model = CodeModel(data.vectors, frequencies, 16, 0.1).with_past(var, 16, 0.1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return data, model.eval()


def test_no_code_is_told_later_ones(small: tuple[CodeData, CodeModel]) -> None:
    """Not those of later frames, nor of later codebooks of its own frame, to the last bit."""
    data, model = small
    batch = data.batches("test")[0]
    frame, codebook = 20, 1
    other = batch._replace(context=batch.context.clone(), target=batch.target.clone())
    other.target[:, frame, codebook:] = (other.target[:, frame, codebook:] + 1) % BINS
    other.target[:, frame + 1 :] = (other.target[:, frame + 1 :] + 1) % BINS
    other.context[:, 1:] = other.target[:, :-1]  # at t there is x_t, and x_{t+1} is the target
    before, after = (_by_frame(model, of) for of in (batch, other))
    assert torch.equal(before[:, :frame], after[:, :frame])
    assert torch.equal(before[:, frame, :codebook], after[:, frame, :codebook])
    assert not torch.isclose(before[:, frame, codebook], after[:, frame, codebook]).all()
    assert not torch.isclose(before[:, frame + 1], after[:, frame + 1]).all()


def _by_frame(model: CodeModel, batch: Batch) -> torch.Tensor:
    """Log-probabilities as (clips, time, codebooks), 0 where nothing is scored."""
    scores = torch.zeros_like(batch.target)
    with torch.no_grad():
        scores[batch.scored] = model.log_probs(batch)
    return scores


def test_a_batch_scores_each_clip_as_if_alone(small: tuple[CodeData, CodeModel]) -> None:
    """Padding, and the other clips, change nothing."""
    data, model = small
    lengths = np.array([30, 70] * (len(data.sequences.lengths) // 2))
    uneven = replace(data, sequences=replace(data.sequences, lengths=lengths))
    together = replace(uneven, batch_frames=10_000).batches("train")
    alone = replace(uneven, batch_frames=1).batches("train")
    assert len(together) == 1 < len(alone)
    order = torch.cat([batch.frame for batch in alone]).argsort()
    with torch.no_grad():
        expected = torch.cat([model.log_probs(batch) for batch in alone])[order]
        found = model.log_probs(together[0])[together[0].frame.argsort()]
    torch.testing.assert_close(found, expected)


@pytest.mark.trains
def test_the_same_seed_gives_the_same_bits() -> None:
    """To the last one."""
    params = settings(pretrain_epochs=1, epochs=1)
    few = params.predict.model_copy(update={"min_steps": 40})
    params = params.model_copy(update={"predict": few})
    data = make_code_data(latents_of(chain_codes(2000)), BINS, params)
    first, second = fit_all(data, params), fit_all(data, params)
    for name, of in first.items():
        assert np.array_equal(of["test"], second[name]["test"])


def test_vectors_add_up_to_latents() -> None:
    """Their sums are white on train, and tell all of latents that codes determine."""
    codes = torch.from_numpy(uniform_codes(4000))
    tables = torch.randn(2, BINS, 5, generator=torch.Generator().manual_seed(0))
    latents = add_vectors(tables, codes)
    white = add_vectors(fit_vectors(codes, latents, BINS, 5), codes).double()
    torch.testing.assert_close(white.T.cov(), torch.eye(5).double(), atol=0.01, rtol=0)
    regressors = torch.cat([white, torch.ones(len(white), 1)], 1)
    left = latents - regressors @ torch.linalg.lstsq(regressors, latents.double()).solution
    assert left.abs().max() < 0.02
    assert fit_vectors(codes, latents, BINS, 3).shape == (2, BINS, 3)


def test_frequencies_are_smoothed_as_validation_likes() -> None:
    """They sum to 1, and a code that train does not have is possible."""
    params = settings()
    codes = np.minimum(chain_codes(2000), BINS - 2)
    data = make_code_data(latents_of(codes), BINS, params)
    log_frequencies = fit_frequencies(data.batches("train"), data.batches("validation"), BINS)
    torch.testing.assert_close(log_frequencies.exp().sum(1), torch.ones(2))
    assert -12 < log_frequencies[0, -1] < -6


def test_a_codec_without_codes_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its outputs are there, and empty."""
    monkeypatch.chdir(tmp_path)
    bare = latents_of(np.zeros((100, 0), int))
    monkeypatch.setattr(stage, "on_disk", lambda _: bare)
    stage.codes(settings())
    assert capsys.readouterr().err == "codes: made up has none, so no bits are counted\n"
    assert Path("metrics/codes.json").read_text() == "{}\n"
    assert Path("plots/codes.csv").read_text().startswith("codebook,scored_by,bits")
    _, table = stage.measure(settings())
    assert codes_figure(table).axes[0].texts[0].get_text() == "this codec has no codes"


def test_the_table_has_every_codebook() -> None:
    """With its nominal bits, and an interval around what is measured."""
    data = make_code_data(latents_of(uniform_codes(1000)), BINS, settings())
    scored = sum(len(batch.frame) for batch in data.batches("test"))
    nats = {"test": np.full((scored, 2), math.log(2))}
    bootstrap = ClipBootstrap(int((data.sequences.splits == "test").sum()), 100, 0)
    table = by_codebook({"given_past": nats}, data, "test", bootstrap)
    bits = table.set_index(["scored_by", "codebook"])["bits"]
    assert bits.to_dict() == pytest.approx(
        {(name, at): of for name, of in (("nominal", 2), ("given_past", 1)) for at in (1, 2)}
    )
    assert codes_figure(table).axes[0].get_lines()
