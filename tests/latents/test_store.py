"""What is written as Parquet is what is read, for us and for anyone else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mimi_dynamics.latents.store
from mimi_dynamics.latents.loading import on_disk
from mimi_dynamics.latents.normalizer import Normalizer, normalized_sequences
from mimi_dynamics.latents.row_groups import EncodedFrames, RowGroup, read_groups, row_groups
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter, read_latents
from mimi_dynamics.pipeline.errors import InputError

INFO = {
    "codec": "mimi-mini",
    "weights_sha256": "ab" * 32,
    "latent_kind": LATENT_KIND,
    "dim": 5,
    "codebooks": 2,
    "frame_rate": 12.5,
    "sample_rate": 24000,
}


def clip(number: int, split: str) -> EncodedClip:
    """A clip of `number` + 1 frames."""
    generator = np.random.default_rng(number)
    frames = number + 1
    return EncodedClip(
        clip_id=f"c/{number}",
        voice=f"v{number % 2}",
        split=split,
        latent=generator.standard_normal((frames, 5)).astype(np.float32),
        rms_db=generator.uniform(-90, -10, frames).astype(np.float32),
        gated=generator.random(frames) < 0.3,
        codes=generator.integers(0, 512, (frames, 2)).astype(np.int16),
    )


GROUPS = [
    [clip(number, split) for number in numbers]
    for split, numbers in (("train", [0, 1, 2]), ("train", [3]), ("test", [4, 5]))
]
CLIPS = [one for group in GROUPS for one in group]


def write(path: Path) -> Path:
    """Write all of `GROUPS`."""
    with LatentWriter(path, INFO) as writer:
        for group in GROUPS:
            writer.write(group)
    return path


@pytest.mark.parametrize("groups_per_part", [32, 2])
def test_round_trip(groups_per_part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one part or two."""
    monkeypatch.setattr(mimi_dynamics.latents.store, "GROUPS_PER_PART", groups_per_part)
    path = write(tmp_path / "latents")
    parts = {32: ["part-000.parquet"], 2: ["part-000.parquet", "part-001.parquet"]}
    assert sorted(file.name for file in path.iterdir()) == parts[groups_per_part]
    found = read_latents(path)
    np.testing.assert_array_equal(found.values, np.concatenate([c.latent for c in CLIPS]))
    np.testing.assert_array_equal(found.rms_db, np.concatenate([c.rms_db for c in CLIPS]))
    np.testing.assert_array_equal(found.codes, np.concatenate([c.codes for c in CLIPS]))
    assert found.lengths.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.clip_ids.tolist() == [c.clip_id for c in CLIPS]
    assert found.voices.tolist() == [c.voice for c in CLIPS]
    assert found.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert found.info == INFO
    assert (found.values.dtype, found.codes.dtype) == (np.float32, np.int16)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """So a stage that ran again changes nothing for DVC."""
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    for part in first.iterdir():
        assert part.read_bytes() == (second / part.name).read_bytes()


def test_readable_by_pandas(tmp_path: Path) -> None:
    """As the contract describes it, knowing nothing of this package."""
    table = pd.read_parquet(write(tmp_path / "latents"))
    assert list(table.columns) == [
        *("clip_id", "voice", "split", "frames", "latent", "rms_db", "gated", "codes")
    ]
    row = table.iloc[4]
    np.testing.assert_array_equal(row["latent"].reshape(row["frames"], -1), CLIPS[4].latent)
    np.testing.assert_array_equal(row["codes"].reshape(row["frames"], -1), CLIPS[4].codes)
    assert row["latent"].dtype == np.float32
    assert table["frames"].dtype == np.int32


def test_row_groups_do_not_mix_splits(tmp_path: Path) -> None:
    """So a reader of one split can skip the others by their statistics."""
    part = pq.ParquetFile(write(tmp_path / "latents") / "part-000.parquet")
    column = part.schema_arrow.get_field_index("split")
    groups = [part.metadata.row_group(g) for g in range(part.metadata.num_row_groups)]
    statistics = [group.column(column).statistics for group in groups]
    assert [(s.min, s.max) for s in statistics] == [
        ("train", "train"),
        ("train", "train"),
        ("test", "test"),
    ]


def test_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    """Whole, with nothing of the new one."""
    path = write(tmp_path / "latents")
    before = (path / "part-000.parquet").read_bytes()
    with pytest.raises(AttributeError), LatentWriter(path, INFO) as writer:
        writer.write([*GROUPS[0], "not a clip"])
    assert (path / "part-000.parquet").read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_latents_is_refused(tmp_path: Path) -> None:
    """In one line that names the folder."""
    with pytest.raises(InputError, match="latents: no latents; run the stage encode"):
        read_latents(tmp_path / "latents")
    folder = tmp_path / "other"
    folder.mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(folder / "part-000.parquet")
    with pytest.raises(InputError, match="other: not a folder of latents"):
        read_latents(folder)
    (folder / "part-000.parquet").write_text("not Parquet")
    with pytest.raises(InputError, match="other: not a folder of latents"):
        read_latents(folder)


def test_parts_of_two_codecs_are_refused(tmp_path: Path) -> None:
    """They would be two kinds of numbers in one array."""
    path = write(tmp_path / "latents")
    with LatentWriter(tmp_path / "other", {**INFO, "weights_sha256": "cd" * 32}) as writer:
        writer.write(GROUPS[0])
    (tmp_path / "other/part-000.parquet").rename(path / "part-001.parquet")
    with pytest.raises(InputError, match="different codecs"):
        read_latents(path)


@pytest.mark.parametrize("rows", [slice(None), slice(2, 8), slice(3, 3), "mask", "none"], ids=str)
def test_latents_on_disk_are_those_in_memory(
    rows: slice | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked for; and only row groups that have any of it are read."""
    path = write(tmp_path / "latents")
    whole, lazy = read_latents(path), on_disk(path)
    assert (lazy.values.shape, len(lazy.values)) == (whole.values.shape, len(whole.values))
    generator = np.random.default_rng(0)
    masks = {"mask": generator.random(len(whole.values)) < 0.3, "none": np.zeros(21, bool)}
    wanted = rows if isinstance(rows, slice) else masks[rows]
    read: list[int] = []
    plain = RowGroup.read

    def noted(of: RowGroup, names: list[str]) -> pa.Table:
        read.append(of.index)
        return plain(of, names)

    monkeypatch.setattr(RowGroup, "read", noted)
    found = lazy.values[wanted]
    np.testing.assert_array_equal(found, whole.values[wanted])
    assert found.dtype == np.float32
    ends = np.cumsum([sum(len(one.latent) for one in group) for group in GROUPS])
    asked = np.zeros(len(whole.values), bool)
    asked[wanted] = True
    assert read == [n for n, of in enumerate(np.split(asked, ends[:-1])) if of.any()]
    for name in ("rms_db", "gated", "codes", "lengths", "clip_ids", "voices", "splits"):
        np.testing.assert_array_equal(getattr(lazy, name), getattr(whole, name))


def test_what_is_not_finite_on_disk_is_named_when_it_is_read(tmp_path: Path) -> None:
    GROUPS[1][0].latent[2, 1], before = np.nan, GROUPS[1][0].latent[2, 1]
    try:
        path = write(tmp_path / "latents")
    finally:
        GROUPS[1][0].latent[2, 1] = before
    lazy = EncodedFrames(row_groups(path))
    assert np.isfinite(lazy[:6]).all()
    for read in (lambda: lazy[:], lambda: on_disk(path)):
        with pytest.raises(InputError, match="clip c/3: 1 frames are not finite"):
            read()


@pytest.mark.parametrize(("rate", "ahead"), [(12.5, 640), (50.0, 160), (75.0, 107)])
def test_a_frame_lasts_as_long_as_the_codec_says(rate: float, ahead: int, tmp_path: Path) -> None:
    """Whether frames are read by groups or whole, and after clips were left out."""
    with LatentWriter(tmp_path / "latents", INFO | {"frame_rate": rate}) as writer:
        for group in GROUPS:
            writer.write(group)
    whitening = Normalizer(np.zeros(5), np.eye(5), np.ones(5))
    by_groups = read_groups(row_groups(tmp_path / "latents"), whitening, 35.0)
    whole = normalized_sequences(read_latents(tmp_path / "latents"), whitening, 35.0)
    for data in (by_groups, whole, whole.select("train"), whole.part_of_train(2)):
        assert data.milliseconds(8) == ahead
