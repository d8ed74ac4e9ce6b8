"""A memory finds planted motifs and no others, never looks ahead, and starts from one place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mimi_dynamics.density.var import fit_var
from mimi_dynamics.latents.sequences import Sequences, make_batches
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.pipeline.tensors import read_tensors, write_tensors
from mimi_dynamics.studies.engram.keys import (
    Keys,
    make_keys,
    merge_rare,
    ngram_counts,
    suffix_ngrams,
)
from mimi_dynamics.studies.engram.memory import EngramMemory, Hashing, next_primes
from mimi_dynamics.studies.engram.metrics import Effects
from mimi_dynamics.studies.engram.model import Shape, build, parameters, sizes
from mimi_dynamics.studies.engram.study import Job, Subject, Trained, shuffled, train
from tests.harness import ROOT

PARAMS = load_params(ROOT / "params.yaml")
DIM, CLIPS, FRAMES, CELLS = 4, 160, 40, 12
SETTINGS = PARAMS.engram.model_copy(
    update={
        "rows": 211, "width": 12, "heads": 2, "row_dim": 4, "epochs": 12, "cells": CELLS,
        "head": "gaussian", "least_count": 5, "lr": 0.01, "table_lr": 5.0,
    }
)  # fmt: skip
PREDICT = PARAMS.predict.model_copy(
    update={
        "warmup_frames": 3, "batch_frames": 400, "dropout": 0.0, "components": 2,
        "bootstrap_samples": 300,
    }
)  # fmt: skip


def planted(motifs: bool) -> Sequences:
    """Frames around one of 12 places each, the next of which two keys decide; or nothing does."""
    random = np.random.default_rng(1)
    places = 3 * random.standard_normal((CELLS, DIM))
    rule = random.integers(0, CELLS, (CELLS, CELLS))
    keys = random.integers(0, CELLS, (CLIPS, FRAMES))
    if motifs:
        for t in range(2, FRAMES):
            follows = random.random(CLIPS) < 0.9
            ruled = rule[keys[:, t - 2], keys[:, t - 1]]
            keys[:, t] = np.where(follows, ruled, keys[:, t])
    frames = places[keys] + 0.2 * random.standard_normal((CLIPS, FRAMES, DIM))
    frames = torch.from_numpy(frames.reshape(-1, DIM)).float()
    frames = (frames - frames.mean(0)) / frames.std(0)
    splits = np.array(["train"] * 110 + ["validation"] * 20 + ["test"] * 30)
    voiced = torch.ones(len(frames), dtype=torch.bool)
    return Sequences(frames, voiced, ~voiced, np.full(CLIPS, FRAMES), splits)


def subject_of(data: Sequences) -> Subject:
    """With keys of k-means."""
    nothing = np.zeros(len(data.frames), np.int64)
    keys = make_keys("kmeans", data, nothing, CELLS, SETTINGS.least_count, 0)
    return Subject("raw", data, keys, None, PREDICT)


def shape_of(subject: Subject) -> Shape:
    """Of a subject's models."""
    learned, validation = (
        make_batches(subject.data.select(split), 1, 3, 400) for split in ("train", "validation")
    )
    var, gaussian = (fit_var(learned, validation, order) for order in (1, 0))
    return Shape(var, gaussian, subject.keys.count, SETTINGS, PREDICT)


def help_over(data: Sequences, control: str) -> tuple[float, float]:
    """Interval of the memory's help over a control."""
    subject = subject_of(data)
    shape = shape_of(subject)
    width = sizes(shape)
    trained: dict[str, list[Trained]] = {
        variant: [train(Job(subject, shape, variant, width[variant], seed)) for seed in (0, 1)]
        for variant in ("engram", control)
    }
    metrics = Effects(subject, trained, "test", 300, 0).help(control).metrics("help")
    return metrics["help_ci_low"], metrics["help_ci_high"]


@pytest.fixture(scope="module")
def shape() -> Shape:
    """Of models of planted motifs."""
    return shape_of(subject_of(planted(motifs=True)))


def awake(shape: Shape, seed: int = 0) -> torch.nn.Module:
    """A model with a memory, away from its starting point."""
    model = build(shape, "engram", SETTINGS.width, seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model.eval()


def keyed_context(clips: int, time: int) -> Tensor:
    """(clips, time, dim + 1) frames and keys."""
    generator = torch.Generator().manual_seed(3)
    frames = torch.randn(clips, time, DIM, generator=generator)
    keys = torch.randint(0, CELLS, (clips, time, 1), generator=generator)
    return torch.cat([frames, keys.float()], -1)


@pytest.mark.trains
@pytest.mark.parametrize("control", ["iso_parameter", "shuffled_keys"])
def test_planted_motifs_are_found(control: str) -> None:
    low, _ = help_over(planted(motifs=True), control)
    assert low > 0.3  # 0.49 ± 0.03 and 0.95 ± 0.03 over three pairs of seeds


@pytest.mark.trains
@pytest.mark.parametrize("control", ["iso_parameter", "shuffled_keys"])
def test_without_motifs_a_memory_does_not_help(control: str) -> None:
    low, _ = help_over(planted(motifs=False), control)
    assert low < 0.01  # −0.006 to 0.000 over the same: an end of an interval may lie at 0


def test_future_moves_nothing_before_it(shape: Shape) -> None:
    """Neither frames nor keys of frame 9 and later."""
    trunk, context = awake(shape).trunk, keyed_context(2, 15)
    changed = context.clone()
    changed[:, 9:] = keyed_context(2, 30)[:, 15:21]
    before, after = trunk(context), trunk(changed)
    assert (before[:, :9] == after[:, :9]).all()
    assert (before[:, 9:] != after[:, 9:]).any(-1).all()


def test_older_keys_than_the_rows_and_the_convolution_reach_do_not_matter(shape: Shape) -> None:
    memory = awake(shape).trunk.memory
    hidden = torch.randn(1, 30, SETTINGS.width)
    keys = torch.randint(0, CELLS, (1, 30))
    other = keys.clone()
    other[:, 0] = (keys[:, 0] + 1) % CELLS
    same = (memory(keys, hidden) == memory(other, hidden)).all(-1)[0]
    # An n-gram reaches back 2 frames, the convolution 9 before its oldest n-gram.
    assert same[12:].all()
    assert not same[:3].any()


def test_a_network_of_few_frames_knows_older_ones_by_their_keys_alone(shape: Shape) -> None:
    """It sees 2 frames, and n-grams reach back to the fifth; their convolution is silenced."""
    trunk = awake(replace(shape, context_frames=2, orders=(3, 5))).trunk
    with torch.no_grad():
        trunk.its_memory.taps.zero_()
    context, at = keyed_context(1, 20), 15
    expected = trunk(context)[0, at]
    for back in range(at + 1):
        frame, key = context.clone(), context.clone()
        frame[:, at - back, :-1] += 1
        key[:, at - back, -1] = (key[:, at - back, -1] + 1) % CELLS
        assert (trunk(frame)[0, at] != expected).any() == (back < 2)
        assert (trunk(key)[0, at] != expected).any() == (back < 5)


def test_batch_equals_single(shape: Shape) -> None:
    trunk, context = awake(shape).trunk, keyed_context(3, 12)
    together = trunk(context)
    for clip in range(3):
        torch.testing.assert_close(trunk(context[clip : clip + 1])[0], together[clip])


def test_models_of_one_seed_start_from_the_same_trunk_and_head(shape: Shape) -> None:
    plain, keyed = (build(shape.with_rows(50), of, SETTINGS.width, 7) for of in ("none", "engram"))
    states = keyed.state_dict()
    assert all((states[name] == value).all() for name, value in plain.state_dict().items())


def test_convolution_starts_at_nothing(shape: Shape) -> None:
    memory = build(shape.with_rows(50), "engram", SETTINGS.width, 0).trunk.memory
    keys, hidden = torch.randint(0, CELLS, (2, 9)), torch.randn(2, 9, SETTINGS.width)
    read = memory.tables(memory.hashing(keys)).flatten(-2)
    expected = memory.openness(read, hidden) * memory.to_value(read)
    assert (memory(keys, hidden) == expected).all()


def test_a_step_touches_only_rows_that_were_read(shape: Shape) -> None:
    memory = build(shape.with_rows(50), "engram", SETTINGS.width, 0).trunk.memory
    keys = torch.randint(0, CELLS, (2, 9))
    memory(keys, torch.randn(2, 9, SETTINGS.width)).square().sum().backward()
    gradient = memory.tables.weight.grad
    assert gradient.is_sparse
    assert set(gradient.coalesce().indices()[0].tolist()) == set(
        memory.hashing(keys).flatten().tolist()
    )


def test_every_head_has_a_prime_of_its_own() -> None:
    found = next_primes(500, 16)
    assert len(set(found)) == 16
    assert min(found) >= 500
    assert all(n % d for n in found for d in range(2, int(n**0.5) + 1))


def test_hashing_is_of_the_last_keys_and_always_the_same() -> None:
    first, second = (Hashing(CELLS, 101, 3, seed=5) for _ in range(2))
    keys = torch.randint(0, CELLS, (4, 20))
    rows = first(keys)
    assert (rows == second(keys)).all()
    assert rows.min() >= 0
    assert rows.max() < sum(first.sizes)
    pairs, triples = rows[..., :3], rows[..., 3:]
    moved = first(keys.roll(1, 1))
    assert (moved[:, 3:] == rows[:, 2:-1]).all()  # wherever in the clip they are
    other = keys.clone()
    other[:, 5] = (keys[:, 5] + 1) % CELLS
    changed = first(other)
    assert (changed[:, 7:, :3] == pairs[:, 7:]).all()
    assert (changed[:, 8:, 3:] == triples[:, 8:]).all()
    assert (changed[:, 5:7, :3] != pairs[:, 5:7]).any(-1).all()


def test_products_never_overflow() -> None:
    hashing = Hashing(2**20, 11, 1, seed=0)
    most = max(int(m) for m in hashing.multipliers) * (hashing.keys)
    assert most <= np.iinfo(np.int64).max
    assert all(int(m) % 2 for m in hashing.multipliers)


def test_weights_survive_a_round_trip(shape: Shape, tmp_path: Path) -> None:
    model = awake(shape)
    write_tensors(tmp_path / "m.safetensors", model.state_dict(), {})
    again = build(shape, "engram", SETTINGS.width, 9)
    again.load_state_dict(read_tensors(tmp_path / "m.safetensors")[0])
    context = keyed_context(2, 8)
    assert (again.eval().trunk(context) == model.trunk(context)).all()


@pytest.mark.trains
def test_same_seed_same_bits() -> None:
    subject = subject_of(planted(motifs=True))
    few = replace(shape_of(subject), settings=SETTINGS.model_copy(update={"epochs": 1}))
    job = Job(subject, few, "engram", SETTINGS.width, 3)
    first, second = train(job), train(job)
    assert (first.nll["test"] == second.nll["test"]).all()
    assert (first.knocked_out["test"] != first.nll["test"]).any()


def test_sizes_match(shape: Shape) -> None:
    width = sizes(shape)
    memory = parameters(build(shape, "engram", width["engram"], 0))
    dense = parameters(build(shape, "none", width["iso_parameter"], 0))
    assert dense == pytest.approx(memory, rel=0.05)
    assert width["none"] < width["iso_flop"] < width["iso_parameter"]


def test_rare_keys_join_their_nearest() -> None:
    raw = np.array([0] * 10 + [1] * 10 + [2])
    frames = np.array([[0.0]] * 10 + [[5.0]] * 10 + [[4.0]])
    merged = merge_rare(raw, frames, np.ones(21, bool), least_count=3)
    assert merged.tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", ["kmeans", "product", "codebook"])
def test_keys_are_learned_on_train_only(kind: str) -> None:
    """Other test frames: the same keys on train."""
    data = planted(motifs=True)
    codes = np.random.default_rng(0).integers(0, 20, len(data.frames))
    test = torch.from_numpy((data.splits == "test")[data.clip_of_frame])
    frames = data.frames.clone()
    frames[test] += 3
    found, other = (
        make_keys(kind, of, codes, 16, 5, 0) for of in (data, replace(data, frames=frames))
    )
    assert (found.values[~test] == other.values[~test]).all()
    assert found.values.max() < found.count


def test_ngrams_stay_within_their_clip() -> None:
    keys, lengths = np.array([1, 2, 1, 2, 1]), np.array([3, 2])
    grams = suffix_ngrams(keys, lengths, 3, 2)
    assert grams[0] != grams[2]  # the first of a clip follows nothing
    assert grams[1] != grams[3]
    counted = Keys(keys, 3)
    voiced = torch.ones(5, dtype=torch.bool)
    data = Sequences(torch.zeros(5, 1), voiced, ~voiced, lengths, np.array(["train", "test"]))
    assert ngram_counts(counted, data, 2).tolist() == [1, 1, 1, 0, 1]


def test_memory_can_be_of_any_width() -> None:
    memory = EngramMemory(Hashing(5, 11, 1, 0), row_dim=3, width=7)
    assert memory(torch.zeros(2, 4, dtype=torch.long), torch.randn(2, 4, 7)).shape == (2, 4, 7)


@pytest.mark.parametrize("kind", ["kmeans", "product", "codebook"])
def test_keys_are_not_learned_from_gated_frames(kind: str) -> None:
    """Other gated frames: the same keys elsewhere."""
    data = planted(motifs=True)
    codes = np.random.default_rng(0).integers(0, 20, len(data.frames))
    gated = torch.arange(len(data.frames)) % 7 == 3
    frames = torch.where(gated[:, None], data.frames + 3, data.frames)
    found, other = (
        make_keys(kind, replace(data, frames=of, gated=gated), codes, 16, 5, 0)
        for of in (data.frames, frames)
    )
    assert (found.values[~gated] == other.values[~gated]).all()


def test_shuffled_keys_of_gated_frames_stay_in_place() -> None:
    data = planted(motifs=True)
    gated = torch.arange(len(data.frames)) % 7 == 3
    keys = Keys(np.arange(len(gated)), len(gated))
    marked = Subject("raw", replace(data, gated=gated), keys, None, PREDICT)
    same = shuffled(marked, 0) == keys.values
    assert same[gated].all()
    assert same[~gated].mean() < 0.01


def test_one_row_is_the_same_module_with_one_address(shape: Shape) -> None:
    """As many weights, which start from the same values; every n-gram reads the same rows."""
    full, single = (build(shape, of, SETTINGS.width, 4) for of in ("engram", "one_row"))
    states = full.state_dict()
    assert states.keys() == single.state_dict().keys()
    assert all((states[name] == value).all() for name, value in single.state_dict().items())
    keys = torch.randint(0, CELLS, (3, 12))
    hashing = single.trunk.memory.hashing
    rows = hashing(keys)
    assert rows.shape == full.trunk.memory.hashing(keys).shape
    assert (rows == hashing.offsets.flatten()).all()
    assert len(torch.unique(full.trunk.memory.hashing(keys), dim=0)) > 1
