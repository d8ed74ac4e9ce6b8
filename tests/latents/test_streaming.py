"""Train read from disk block by block is train, and never more of it in memory than was said."""

import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mimi_dynamics.density.fit import FitSpec, fit_densities
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.evidence.gains import fit_many
from mimi_dynamics.evidence.surrogates import make_surrogates
from mimi_dynamics.latents import streaming
from mimi_dynamics.latents.loading import (
    BLOCKS,
    GIB,
    HELD_COPIES,
    READ_COPIES,
    READERS,
    stream_data,
)
from mimi_dynamics.latents.normalizer import Normalizer, fit_normalizer, normalized_sequences
from mimi_dynamics.latents.row_groups import RowGroup, row_groups
from mimi_dynamics.latents.sequences import Batch, Sequences, in_new_order
from mimi_dynamics.latents.store import EncodedClip, LatentWriter, read_latents
from mimi_dynamics.latents.streaming import BatchStream, StreamedSequences
from mimi_dynamics.pipeline.errors import InputError
from tests.density.test_fit import SMALL
from tests.harness.simulation import simulate
from tests.latents.test_store import INFO

DIM = 3
CLIPS_PER_GROUP = 8
BLOCK = 1000  # frames, of 8,600 of train


def write_latents(path: Path, data: Sequences) -> None:
    """As the stage `encode`, but in small row groups."""
    rows = np.split(data.frames.numpy(), np.cumsum(data.lengths)[:-1])
    clips = [
        EncodedClip(
            clip_id=f"{split}/{index}",
            voice="nobody",
            split=split,
            latent=values,
            rms_db=np.where(np.arange(len(values)) % 3, 0, -90).astype(np.float32),
            gated=np.arange(len(values)) % 7 == 3,
            codes=np.zeros((len(values), 1), np.int16),
        )
        for index, (values, split) in enumerate(zip(rows, data.splits, strict=True))
    ]
    with LatentWriter(path, INFO | {"dim": data.dim, "codebooks": 1}) as writer:
        for split in ("train", "validation", "test"):
            chosen = [clip for clip in clips if clip.split == split]
            for start in range(0, len(chosen), CLIPS_PER_GROUP):
                writer.write(chosen[start : start + CLIPS_PER_GROUP])


def cut(data: Sequences) -> Sequences:
    """The same clips cut to different lengths, from 20 to 50 frames."""
    lengths = 20 + 7 * np.arange(len(data.lengths)) % 31
    inside = np.arange(len(data.frames)) - np.repeat(np.arange(len(lengths)) * 50, data.lengths)
    kept = torch.from_numpy(inside < np.repeat(lengths, data.lengths))
    return Sequences(data.frames[kept], data.voiced[kept], data.gated[kept], lengths, data.splits)


class Corpus:
    """Latents on disk, in memory, and as a stream of blocks of some frames."""

    def __init__(self, folder: Path, process: str = "linear", frames: int = 12_000) -> None:
        self.path = folder / "latents"
        data = cut(simulate(process, frames, DIM))
        write_latents(self.path, data)
        train = data.select("train").frames.numpy()
        self.normalizer: Normalizer = fit_normalizer(train, DIM)
        self.resident = normalized_sequences(read_latents(self.path), self.normalizer, 35.0)
        self.groups: list[RowGroup] = row_groups(self.path)

    def memory_gib(self, block_frames: int) -> float:
        """What blocks of so many frames need."""
        held = sum(group.frames for group in self.groups if group.split != "train")
        largest = max(group.frames for group in self.groups)
        held_bytes = 4 * DIM * HELD_COPIES * (held + BLOCKS * (block_frames + 0.5))
        return (held_bytes + READERS * 4 * DIM * READ_COPIES * largest) / GIB

    def streamed(self, block_frames: int) -> StreamedSequences:
        """In blocks of at most so many frames."""
        return stream_data(self.groups, self.normalizer, 35.0, self.memory_gib(block_frames), 0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


def rows(values: Tensor) -> list[list[float]]:
    """In an order that does not depend on where they came from."""
    return sorted(values.round(decimals=4).tolist())


def test_footers_know_splits_and_frames(corpus: Corpus) -> None:
    """Of every row group, without a read of any."""
    for split in ("train", "validation", "test"):
        found = sum(group.frames for group in corpus.groups if group.split == split)
        assert found == len(corpus.resident.select(split).frames)
    assert {group.dim for group in corpus.groups} == {DIM}


def test_blocks_hold_train_once_and_no_more_than_they_may(corpus: Corpus) -> None:
    data = corpus.streamed(BLOCK)
    blocks = [data.train.read(block) for block in range(len(data.train.blocks))]
    assert len(blocks) > 5
    assert max(len(block.frames) for block in blocks) <= data.block_frames == BLOCK
    assert rows(torch.cat([b.frames for b in blocks])) == rows(
        corpus.resident.select("train").frames
    )
    for block, lengths in zip(blocks, data.train.lengths, strict=True):
        assert block.lengths.tolist() == lengths.tolist()
    voiced = sum(int(block.voiced.sum()) for block in blocks)
    assert voiced == int(corpus.resident.select("train").voiced.sum())
    torch.testing.assert_close(data.train_mean(), corpus.resident.train_mean())


def test_row_groups_are_drawn_into_blocks(corpus: Corpus) -> None:
    """Not as they stand in the files, where neighbours are of one voice; by the seed."""
    blocks = corpus.streamed(BLOCK).train.blocks
    assert any(np.diff([group.index for group in block]).min() != 1 for block in blocks)
    assert blocks == corpus.streamed(BLOCK).train.blocks


@pytest.mark.parametrize("delta", [False, True])
def test_batches_are_those_of_train(corpus: Corpus, delta: bool) -> None:
    """Every target once, with its past; the same in every pass but for their order."""
    stream = corpus.streamed(BLOCK).batches("train", 2, 8, 200, delta=delta)
    expected = corpus.resident.batches("train", 2, 8, 200, delta=delta)
    generator = torch.Generator().manual_seed(0)
    passes = [
        list(stream),
        list(in_new_order(stream, generator)),
        list(in_new_order(stream, generator)),
    ]
    for found in passes:
        assert len(found) == len(stream)
        assert pairs(found) == pairs(expected)
        assert max(batch.scored.numel() for batch in found) <= 200
    first, second, third = (torch.cat([b.target[b.scored] for b in found]) for found in passes)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def pairs(batches: list[Batch]) -> list[list[float]]:
    """Every scored target beside the frame it is predicted from."""
    return rows(torch.cat([torch.cat([b.context, b.target], 2)[b.scored] for b in batches]))


def test_closed_forms_are_the_same(corpus: Corpus) -> None:
    """They are of sums over all frames, in whatever order."""
    validation = corpus.resident.batches("validation", 1, 8, 200, delta=False)
    resident, streamed = (
        fit_var(data.batches("train", 1, 8, 200, delta=False), validation, 3)
        for data in (corpus.resident, corpus.streamed(BLOCK))
    )
    torch.testing.assert_close(streamed.coefficients, resident.coefficients, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(streamed.covariance, resident.covariance, atol=1e-5, rtol=1e-4)


def test_two_blocks_are_in_memory_at_most(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is read, of all others only the batches of one are still there."""
    made: list[list[weakref.ref]] = []
    alive_when_read: list[int] = []
    read, batches_of = streaming.read_groups, BatchStream._batches

    def reading(*arguments: object) -> Sequences:
        alive_when_read.append(sum(any(ref() is not None for ref in of) for of in made))
        return read(*arguments)

    def batching(stream: BatchStream, block: int) -> list[Batch]:
        batches = batches_of(stream, block)
        made.append([weakref.ref(batch.context) for batch in batches])
        return batches

    stream = corpus.streamed(BLOCK).batches("train", 1, 8, 200, delta=False)
    monkeypatch.setattr(streaming, "read_groups", reading)
    monkeypatch.setattr(BatchStream, "_batches", batching)
    seen = sum(1 for _ in in_new_order(stream, torch.Generator().manual_seed(0)))
    assert seen == len(stream)
    assert len(alive_when_read) > 5
    # The last batch of the block before may still be in the hands of who trains on it.
    assert max(alive_when_read) <= BLOCKS


@pytest.mark.trains
@pytest.mark.parametrize("head", ["gaussian", "flow"])
def test_training_from_disk_is_as_good(corpus: Corpus, head: str) -> None:
    """Blocks far smaller than train: NLL within 0.01 nats per dimension, in every density."""
    resident, streamed = (
        fit_densities(FitSpec("real", data, head, 1, SMALL, 0))
        for data in (corpus.resident, corpus.streamed(BLOCK))
    )
    for density in ("marginal", "conditional"):
        nll = [found[density].nll["test"].mean() / DIM for found in (resident, streamed)]
        assert nll[0] == pytest.approx(nll[1], abs=0.01)


@pytest.mark.trains
def test_surrogates_lose_what_they_should(corpus: Corpus) -> None:
    """As in memory: nothing is gained but by the linear one, of which nothing is lost."""
    gains = []
    for data in (corpus.resident, corpus.streamed(BLOCK)):
        jobs = [
            FitSpec(row, of, "var", 1, SMALL, 0)
            for row, of in make_surrogates(data, 8, 2, 0).items()
        ]
        fits = fit_many(jobs)
        nll = {key: fitted.nll["test"].mean() / DIM for key, fitted in fits.items()}
        gains.append(
            {
                job.row: nll[job.row, "var", "marginal"] - nll[job.row, "var", "conditional"]
                for job in jobs
            }
        )
    resident, streamed = gains
    # Over six seeds of the surrogates they differed by 0.002 ± 0.009, 0.000 ± 0.000 and, as a block
    # has few frames to fit, 0.04 ± 0.02: four deviations. Were nothing lost, it would be by 0.5.
    for row, tolerance in (("shuffled", 0.04), ("permuted", 0.01), ("linear", 0.12)):
        assert streamed[row] == pytest.approx(resident[row], abs=tolerance)
    assert streamed["linear"] > 0.2
    assert streamed["permuted"] == pytest.approx(0, abs=0.01)


def test_a_changed_surrogate_stays_one(corpus: Corpus) -> None:
    """A second change works on what the first has made, and does not take its place."""
    streamed = corpus.streamed(BLOCK)
    double = partial(_times, factor=2.0)
    twice = streamed.changed(double, torch.Generator()).changed(double, torch.Generator())
    assert torch.equal(twice.train.read(0).frames, 4 * streamed.train.read(0).frames)


def _times(data: Sequences, _: torch.Generator, factor: float) -> Sequences:
    return replace(data, frames=factor * data.frames)


def test_surrogates_of_a_block_are_the_same_every_time(corpus: Corpus) -> None:
    """And of another block, or another seed, others; frames stay within their clip or block."""
    data = make_surrogates(corpus.streamed(BLOCK), 8, 2, 0)
    other = make_surrogates(corpus.streamed(BLOCK), 8, 2, 1)
    real = corpus.streamed(BLOCK).train.read(3)
    for row in ("shuffled", "permuted", "linear"):
        block = data[row].train.read(3)
        assert torch.equal(block.frames, data[row].train.read(3).frames)
        assert not torch.equal(block.frames, other[row].train.read(3).frames)
        assert not torch.equal(block.frames, real.frames)
        assert block.lengths.tolist() == real.lengths.tolist()
    assert rows(data["permuted"].train.read(3).frames) == rows(real.frames)
    clip = torch.from_numpy(real.clip_of_frame)
    shuffled = data["shuffled"].train.read(3).frames
    for index in (0, 5):
        assert rows(shuffled[clip == index]) == rows(real.frames[clip == index])


def test_frames_that_are_not_numbers_are_named(tmp_path: Path) -> None:
    """As by the reader of all latents: the clip, and what to do."""
    corpus = Corpus(tmp_path, frames=4000)
    data = cut(simulate("linear", 4000, DIM))
    data.frames[100, 1] = np.nan
    write_latents(corpus.path, data)
    stream = corpus.streamed(BLOCK).train
    with pytest.raises(InputError) as resident:
        read_latents(corpus.path)
    with pytest.raises(InputError, match=r"^clip train/\d+: 1 frames are not finite") as streamed:
        [stream.read(block) for block in range(len(stream.blocks))]
    assert str(streamed.value).split(";")[0] == str(resident.value).split(";")[0]


def test_targets_beside_the_frames_are_refused(corpus: Corpus) -> None:
    """Those of train would have to be on disk, too."""
    streamed = corpus.streamed(1000)
    with pytest.raises(
        InputError, match=r"^train is read from disk, which holds no targets.*raise"
    ):
        replace(streamed, targets=streamed.frames)


def test_too_long_a_horizon_is_named(corpus: Corpus) -> None:
    with pytest.raises(InputError, match=r"^horizon = 50 .* longest clip .*here 50 frames$"):
        corpus.streamed(BLOCK).batches("train", 50, 8, 200, delta=False)


def test_too_little_memory_is_named(corpus: Corpus) -> None:
    """With what would do, which then does."""
    with pytest.raises(
        InputError, match=r"^memory_gib = 1e-06: must be at least 0\.00\d"
    ) as caught:
        stream_data(corpus.groups, corpus.normalizer, 35.0, 1e-6, 0)
    assert "\n" not in str(caught.value)
    enough = float(str(caught.value).split("at least ")[1].split(";")[0])
    stream_data(corpus.groups, corpus.normalizer, 35.0, enough, 0)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_part_of_train_is_a_part_of_each_block(corpus: Corpus, parts: int) -> None:
    """What is said of its lengths is what is read, and it is about one clip in so many."""
    streamed = corpus.streamed(BLOCK)
    part = streamed.part_of_train(parts)
    for block, lengths in enumerate(part.train.lengths):
        whole, read = (of.train.read(block) for of in (streamed, part))
        assert np.array_equal(read.lengths, lengths)
        assert np.array_equal(read.lengths, whole.lengths[::parts])
        assert torch.equal(read.frames, whole.part_of_train(parts).frames)
    counts = [data.part_of_train(parts).train_targets(8) for data in (corpus.resident, streamed)]
    assert counts[1] == pytest.approx(counts[0], rel=0.3)
    assert streamed.part_of_train(1).train_targets(8) == corpus.resident.train_targets(8)
    twice = part.part_of_train(2).train
    assert np.array_equal(twice.read(0).lengths, twice.lengths[0])
