"""What a killed run has finished is used; what another recipe or other audio made is not."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import mimi_dynamics.encoding.corpus
import mimi_dynamics.encoding.shards
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.encoding.batches import encode_group
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.encoding.shards import plan_shards
from mimi_dynamics.latents.store import EncodedClip
from mimi_dynamics.pipeline.params import EncodeParams
from tests.harness.tiny_codec import load_tiny, noise

pytestmark = pytest.mark.trains

PARAMS = EncodeParams(batch_seconds=3.0, dtype="float32", engine="local")
CLIPS = 7  # 2 + 2 + 1 of train, 1 + 1 of test: five shards of two clips at most


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    """A tiny codec."""
    return load_tiny(tmp_path)


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Seven clips, to be encoded in five shards."""
    monkeypatch.setattr(mimi_dynamics.encoding.shards, "CLIPS_PER_SHARD", 2)
    return write_clips(tmp_path)


def write_clips(folder: Path) -> pd.DataFrame:
    """Clips of two splits with their manifest."""
    rows = []
    for number in range(CLIPS):
        path = folder / f"{number}.flac"
        soundfile.write(path, noise(0.4 + 0.1 * number, number), 24000)
        split = ("train", "test_voice", "train", "test", "train", "train", "train")[number]
        row = {"clip_id": f"c/{number}", "voice": "v", "split": split, "path": str(path)}
        rows.append(
            {**row, "seconds": soundfile.info(path).duration, "gated": np.array([], np.int64)}
        )
    return pd.DataFrame(rows)


def count_groups(monkeypatch: pytest.MonkeyPatch, stop_at: int = 0) -> list[list[str]]:
    """Clips of every shard that is encoded from now on; the one numbered `stop_at` is not."""
    seen: list[list[str]] = []

    def counted(codec: Codec, group: pd.DataFrame, *options: float) -> list[EncodedClip]:
        seen.append(group["clip_id"].tolist())
        if len(seen) == stop_at:
            raise KeyboardInterrupt
        return encode_group(codec, group, *options)

    monkeypatch.setattr(mimi_dynamics.encoding.corpus, "encode_group", counted)
    return seen


def stop_at_third(
    codec: Codec, manifest: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[list[str]]:
    """Encode two of five shards; give what is encoded after that."""
    count_groups(monkeypatch, stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        encode_corpus(codec, manifest, folder / "latents", PARAMS, folder / "work")
    assert not (folder / "latents").exists()
    (folder / "work" / ".half.1.tmp").mkdir()  # as a killed process leaves it
    return count_groups(monkeypatch)


def test_shards_that_are_complete_are_not_encoded_again(
    codec: Codec, manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encode_corpus(codec, manifest, tmp_path / "whole", PARAMS, tmp_path / "work")
    seen = stop_at_third(codec, manifest, tmp_path, monkeypatch)
    metrics = encode_corpus(codec, manifest, tmp_path / "latents", PARAMS, tmp_path / "work")
    assert seen == [["c/6"], ["c/3"], ["c/1"]]
    assert metrics == whole
    part = "part-000.parquet"
    assert (tmp_path / "latents" / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()
    assert not (tmp_path / "work").exists()


def another_weight(codec: Codec, manifest: pd.DataFrame) -> tuple[Codec, EncodeParams]:
    """One weight is another."""
    next(codec.model.encoder.parameters()).view(-1)[0] += 1
    return codec, PARAMS


def another_setting(codec: Codec, manifest: pd.DataFrame) -> tuple[Codec, EncodeParams]:
    """Batches of another size."""
    return codec, PARAMS.model_copy(update={"batch_seconds": 2.0})


def another_recording(codec: Codec, manifest: pd.DataFrame) -> tuple[Codec, EncodeParams]:
    """Of the first clip, as long as it was."""
    path = Path(manifest["path"][0])
    before = path.stat().st_mtime_ns
    soundfile.write(path, -noise(0.4, 0), 24000)
    os.utime(path, ns=(before + 1, before + 1))
    return codec, PARAMS


@pytest.mark.parametrize(
    ("change", "encoded"), [(another_weight, 5), (another_setting, 5), (another_recording, 4)]
)
def test_shards_of_something_else_are_not_used(
    codec: Codec,
    manifest: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Codec, pd.DataFrame], tuple[Codec, EncodeParams]],
    encoded: int,
) -> None:
    seen = stop_at_third(codec, manifest, tmp_path, monkeypatch)
    codec, params = change(codec, manifest)
    encode_corpus(codec, manifest, tmp_path / "latents", params, tmp_path / "work")
    assert len(seen) == encoded
    encode_corpus(codec, manifest, tmp_path / "whole", params, tmp_path / "other")
    part = "part-000.parquet"
    assert (tmp_path / "latents" / part).read_bytes() == (tmp_path / "whole" / part).read_bytes()


def test_half_a_shard_is_encoded_again(
    codec: Codec, manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = stop_at_third(codec, manifest, tmp_path, monkeypatch)
    part = next((tmp_path / "work").glob("*/part-000.parquet"))
    part.write_bytes(part.read_bytes()[:-100])  # as a machine that lost power leaves it
    encode_corpus(codec, manifest, tmp_path / "latents", PARAMS, tmp_path / "work")
    assert len(seen) == 4


def test_shards_depend_on_manifest_and_recipe_only(manifest: pd.DataFrame, tmp_path: Path) -> None:
    """Every clip once, no two splits in one shard; where the folder is does not matter."""
    shards = plan_shards(manifest, tmp_path / "a", "recipe")
    assert [len(shard.clips) for shard in shards] == [2, 2, 1, 1, 1]
    clips = np.concatenate([shard.clips["clip_id"] for shard in shards])
    assert sorted(clips) == [f"c/{number}" for number in range(CLIPS)]
    assert all(shard.clips["split"].nunique() == 1 for shard in shards)
    names = [shard.path.name for shard in shards]
    assert len(set(names)) == 5
    assert [shard.path.name for shard in plan_shards(manifest, tmp_path, "recipe")] == names
    others = {shard.path.name for shard in plan_shards(manifest, tmp_path, "another")}
    assert others.isdisjoint(names)
