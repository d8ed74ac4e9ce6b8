"""Encoding gives each clip its own latents, whatever its batch, and the same each time."""

import math
from pathlib import Path

import moshi.utils.compile
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import mimi_dynamics.encoding.batches
import mimi_dynamics.encoding.shards
from mimi_dynamics.codec.base import FRAME_SIZE, Codec
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.encoding.batches import EncodedArrays, bucket_by_length
from mimi_dynamics.encoding.corpus import encode_corpus
from mimi_dynamics.encoding.frames import frame_levels, gated_frames, silent_frames
from mimi_dynamics.latents.store import read_latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.params import EncodeParams
from tests.harness.tiny_codec import load_tiny, noise, tiny_params, why_no_lyra

pytestmark = pytest.mark.trains

SECONDS = (1.0, 0.4, 2.11, 0.3, 0.72, 1.6)
PARAMS = EncodeParams(batch_seconds=3.0, dtype="float32", engine="local")
SPLITS = ("test", "train", "validation", "train", "train", "test_voice")


@pytest.fixture(
    scope="module",
    params=[
        "mimi-mini",
        pytest.param("lyra", marks=pytest.mark.skipif(bool(why_no_lyra()), reason=why_no_lyra())),
    ],
)
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """A tiny codec, and one of another kind."""
    if request.param == "lyra":
        return load_codec(tiny_params().model_copy(update={"name": "lyra"}))
    return load_tiny(tmp_path_factory.mktemp("codec"))


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    """Six clips of four splits."""
    rows = []
    for number, (seconds, split) in enumerate(zip(SECONDS, SPLITS, strict=True)):
        path = tmp_path / f"{number}.flac"
        soundfile.write(path, noise(seconds, number), 24000)
        row = {"clip_id": f"c/{number}", "voice": "v", "split": split, "path": str(path)}
        rows.append(
            {**row, "seconds": soundfile.info(path).duration, "gated": np.array([], np.int64)}
        )
    return pd.DataFrame(rows)


def test_clips_keep_their_own_latents(
    codec: Codec, manifest: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batched equals alone within 1e-4, in the order of splits, then of the manifest."""
    monkeypatch.setattr(mimi_dynamics.encoding.shards, "CLIPS_PER_SHARD", 2)
    metrics = encode_corpus(codec, manifest, tmp_path / "latents", PARAMS, tmp_path / "work")
    write_metrics(tmp_path / "encode.json", metrics)
    found = read_latents(tmp_path / "latents")
    assert found.clip_ids.tolist() == ["c/1", "c/3", "c/4", "c/2", "c/0", "c/5"]
    ends = np.cumsum(found.lengths)
    by_id = manifest.set_index("clip_id")
    for clip, end, frames in zip(found.clip_ids, ends, found.lengths, strict=True):
        audio = torch.from_numpy(read_clip(Path(by_id.loc[clip, "path"])))
        assert frames == math.ceil(len(audio) / FRAME_SIZE)
        alone = codec.encode(audio[None])
        kept = found.values[end - frames : end]
        assert np.linalg.norm(kept - alone[0].numpy()) <= 1e-4 * alone.norm()
        np.testing.assert_array_equal(
            found.codes[end - frames : end], codec.quantize(torch.from_numpy(kept)[None])[0]
        )
    assert metrics["batch_noise_floor"] <= 1e-4
    assert metrics["frames"] == sum(metrics["frames_by_split"].values()) == len(found.values)
    assert found.info["weights_sha256"] == codec.weights_sha256


def test_encoding_twice_gives_the_same_bytes(
    codec: Codec, manifest: pd.DataFrame, tmp_path: Path
) -> None:
    """Bit for bit, the metrics too."""
    paths = [tmp_path / name for name in ("a", "b")]
    first, second = (
        encode_corpus(codec, manifest, path, PARAMS, tmp_path / "work") for path in paths
    )
    assert first == second
    parts = [path / "part-000.parquet" for path in paths]
    assert parts[0].read_bytes() == parts[1].read_bytes()


def test_threads_cannot_have_moshi_compile_a_batch(
    codec: Codec, manifest: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it compiles has other last bits, and each of its transformers allows it when done."""
    encode_batch, allowed = mimi_dynamics.encoding.batches.encode_batch, []

    def watched(codec: Codec, clips: list[np.ndarray]) -> list[EncodedArrays]:
        encoded = encode_batch(codec, clips)
        allowed.append(not moshi.utils.compile._compile_disabled)
        return encoded

    monkeypatch.setattr(mimi_dynamics.encoding.batches, "encode_batch", watched)
    mimi_dynamics.encoding.batches.encode_group(codec, manifest, 1.0, 2)
    assert len(allowed) > 1
    assert not any(allowed)


def test_batches_are_bounded_and_lose_nothing() -> None:
    """Padded audio within the bound, unless one clip alone exceeds it."""
    seconds = np.random.default_rng(0).exponential(4, 200) + 0.1
    batches = bucket_by_length(seconds, 20)
    assert sorted(np.concatenate(batches)) == list(range(200))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * seconds[batch].max() <= 20
    assert len(batches) < 1.35 * seconds.sum() / 20 + (seconds > 20).sum()


def test_levels() -> None:
    """A full-scale square wave is at 0 dB, silence at the floor."""
    audio = np.ones((1, 3 * FRAME_SIZE), np.float32)
    audio[0, FRAME_SIZE : 2 * FRAME_SIZE] = 0
    audio[0, 2 * FRAME_SIZE :] = 0.1
    np.testing.assert_allclose(frame_levels(audio), [[0, -100, -20]], atol=1e-4)


def test_latents_that_are_not_finite_are_refused(manifest: pd.DataFrame, tmp_path: Path) -> None:
    """Naming the clip, and leaving nothing behind."""
    codec = load_tiny(tmp_path)
    for parameter in codec.model.downsample.parameters():
        parameter.fill_(float("nan"))
    with pytest.raises(InputError, match=r"clip c/\d: latents are not finite"):
        encode_corpus(codec, manifest, tmp_path / "latents", PARAMS, tmp_path / "work")
    assert not (tmp_path / "latents").exists()


def test_clips_that_are_not_there(codec: Codec, manifest: pd.DataFrame, tmp_path: Path) -> None:
    """Or not as ingest writes them: one line with the path."""
    missing = manifest.assign(path=str(tmp_path / "none.flac"))
    with pytest.raises(InputError, match=r"none\.flac: not readable; run the stage ingest"):
        encode_corpus(codec, missing, tmp_path / "latents", PARAMS, tmp_path / "work")
    soundfile.write(tmp_path / "other.flac", noise(1.0), 16000)
    with pytest.raises(InputError, match=r"other\.flac: must be 24000 Hz mono"):
        read_clip(tmp_path / "other.flac")


@pytest.mark.parametrize(
    ("interval", "gated"),
    [
        ((0, 1), [0, 1, 2]),
        ((5 * FRAME_SIZE, 6 * FRAME_SIZE), [4, 5, 6, 7]),
        ((5 * FRAME_SIZE - 1, 5 * FRAME_SIZE + 1), [3, 4, 5, 6, 7]),
        ((9 * FRAME_SIZE + 7, 9 * FRAME_SIZE + 8), [8, 9]),
    ],
)
def test_frames_in_and_beside_silence(interval: tuple[int, int], gated: list[int]) -> None:
    """Those it overlaps even in part, one before and two after, within the clip."""
    found = silent_frames(np.array(interval), 10)
    assert np.flatnonzero(found).tolist() == gated


def test_shorter_frames_cover_the_same_time_beside_silence() -> None:
    """A quarter of the length: four before and eight after; one of three quarters as many."""
    interval = np.array((8 * 480, 9 * 480))
    assert np.flatnonzero(silent_frames(interval, 30, frame_size=480)).tolist() == [*range(4, 17)]
    assert np.flatnonzero(silent_frames(interval, 30, frame_size=1440)).tolist() == [*range(6)]
    assert np.flatnonzero(gated_frames(np.array([], np.int64), 1000, 480)).tolist() == [2]
    audio = np.repeat([[1.0, 0.1]], 480, axis=1).astype(np.float32)
    np.testing.assert_allclose(frame_levels(audio, 480), [[0, -20]], atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "gated"),
    [
        (10 * FRAME_SIZE, []),
        (10 * FRAME_SIZE - 1, [9]),
        (9 * FRAME_SIZE + 1, [9]),
        (1, [0]),
    ],
)
def test_only_the_last_frame_is_gated_for_its_padding(samples: int, gated: list[int]) -> None:
    """A clip of whole frames loses none, and no neighbour is lost."""
    assert np.flatnonzero(gated_frames(np.array([], np.int64), samples)).tolist() == gated


def test_padding_is_no_silence(codec: Codec, manifest: pd.DataFrame, tmp_path: Path) -> None:
    """Shares of frames by why they do not count; a frame that is both is silent."""
    manifest["gated"] = [np.array([0, 24], np.int64)] + [np.array([], np.int64)] * 5
    metrics = encode_corpus(codec, manifest, tmp_path / "latents", PARAMS, tmp_path / "work")
    latents = read_latents(tmp_path / "latents")
    whole = sum(round(s * 24000) % FRAME_SIZE == 0 for s in SECONDS)
    assert whole == 3
    assert metrics["silent_share"] == 3 / len(latents.gated)
    assert metrics["padded_share"] == (len(SECONDS) - whole) / len(latents.gated)
    assert latents.gated.sum() == 3 + len(SECONDS) - whole
