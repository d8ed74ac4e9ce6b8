"""Every format gives the same clips, and whatever cannot be read ends in one line with a remedy."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from mimi_dynamics.own_latents.clips import Source
from mimi_dynamics.own_latents.reading import read_source
from mimi_dynamics.pipeline.errors import InputError

DIM = 3
LENGTHS = (7, 12, 1, 30)


def arrays() -> dict[str, np.ndarray]:
    """Clips by name."""
    random = np.random.default_rng(0)
    names = [f"clip{place}" for place in range(len(LENGTHS))]
    return {
        name: random.normal(size=(length, DIM)).astype("float32")
        for name, length in zip(names, LENGTHS, strict=True)
    }


def folder_of_npy(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    for name, clip in clips.items():
        np.save(folder / f"{name}.npy", clip)
    return folder


def npz(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "all.npz", **clips)
    return folder / "all.npz"


def tensors(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    save_file(
        {name: torch.from_numpy(clip) for name, clip in clips.items()}, folder / "a.safetensors"
    )
    return folder / "a.safetensors"


def row_a_clip(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    table = pa.table(
        {"clip_id": list(clips), "latents": [clip.tolist() for clip in clips.values()]}
    )
    kind = pa.list_(pa.list_(pa.float32()))
    table = table.set_column(1, "latents", table["latents"].cast(kind))
    pq.write_table(table, folder / "clips.parquet", row_group_size=3)
    return folder / "clips.parquet"


def row_a_frame(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    names = [name for name, clip in clips.items() for _ in clip]
    columns = {f"x{d}": np.concatenate([clip[:, d] for clip in clips.values()]) for d in range(DIM)}
    pq.write_table(pa.table({"clip": names, **columns}), folder / "f.parquet", row_group_size=10)
    return folder / "f.parquet"


def list_a_frame(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    names = [name for name, clip in clips.items() for _ in clip]
    frames = pa.array(np.concatenate(list(clips.values())).tolist(), pa.list_(pa.float32(), DIM))
    pq.write_table(pa.table({"clip": names, "z": frames}), folder / "f.parquet", row_group_size=10)
    return folder / "f.parquet"


def pocket_tts(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    store = folder / "latents" / "0123abcd"
    store.mkdir(parents=True)
    lines = []
    for name, clip in clips.items():
        save_file({"latents": torch.from_numpy(clip)}, store / f"{name}.safetensors")
        lines.append(
            {"path": f"{name}.wav", "latents_file": f"latents/0123abcd/{name}.safetensors"}
        )
    (folder / "speech_latents.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    meta = {"frame_rate": 12.5, "mimi_hash": "0123abcd"}
    (folder / "speech_latents.meta.json").write_text(json.dumps(meta))
    return folder


FORMATS = [folder_of_npy, npz, tensors, row_a_clip, row_a_frame, list_a_frame, pocket_tts]


def check_same(source: Source, clips: dict[str, np.ndarray]) -> None:
    """The source has these clips, whole and in parts."""
    assert [clip.key for clip in source.clips] == list(clips)
    for clip, array in zip(source.clips, clips.values(), strict=True):
        assert clip.shape == array.shape
        np.testing.assert_array_equal(clip.read(0, len(array)), array)
        middle = len(array) // 2
        np.testing.assert_array_equal(clip.read(middle, len(array)), array[middle:])


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
def test_every_format_gives_the_same_clips(
    tmp_path: Path, write: Callable[[Path, dict[str, np.ndarray]], Path]
) -> None:
    clips = arrays()
    check_same(read_source(write(tmp_path, clips)), clips)
    assert read_source(str(tmp_path)).clips  # The folder will do as well.


def test_what_is_in_memory_is_read_as_it_is() -> None:
    clips = arrays()
    check_same(read_source(clips), clips)
    check_same(read_source([*clips.values()]), {str(n): of for n, of in enumerate(clips.values())})
    half = {name: torch.from_numpy(clip).bfloat16() for name, clip in clips.items()}
    source = read_source(half)
    assert {clip.dtype for clip in source.clips} == {"bfloat16"}
    np.testing.assert_allclose(source.clips[0].read(0, 7), clips["clip0"], rtol=2**-7)
    stacked = np.zeros((4, 5, DIM), np.float32)
    assert [clip.shape for clip in read_source(stacked).clips] == [(5, DIM)] * 4
    assert [clip.shape for clip in read_source(stacked[0]).clips] == [(5, DIM)]


def test_a_store_of_pocket_tts_says_its_frame_rate_and_codec(tmp_path: Path) -> None:
    source = read_source(pocket_tts(tmp_path, arrays()))
    assert source.frame_rate == 12.5
    assert source.info == {"mimi_hash": "0123abcd"}


def test_an_array_on_disk_is_not_read_before_it_is_used(tmp_path: Path) -> None:
    """Its file may be larger than the memory: this one has 64 GiB."""
    file = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (2**28, 64))
    del file
    (clip,) = read_source(tmp_path / "a.npy").clips
    assert clip.shape == (2**28, 64)
    assert clip.read(2**27, 2**27 + 5).shape == (5, 64)


def one_line(latents: object) -> str:
    """The message of the error that latents end in."""
    with pytest.raises(InputError) as caught:
        read_source(latents)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize(
    ("latents", "words"),
    [
        (None, "latents = NoneType: must be an array"),
        (np.zeros(9), "an array of shape (9,)"),
        (np.zeros((9, 2), int), "int64, which codes are; give the latents before the quantiser"),
        (np.zeros((9, 2), complex), "complex128: must be one of float16"),
        (np.zeros((9, 2), object), "object: must be one of float16"),
        (np.zeros((9, 0)), "must be (frames, dim)"),
        ([np.zeros((9, 2)), np.zeros(9)], "clip 1: shape (9,): must be (frames, dim)"),
        ([[[1.0, 2.0], [3.0]]], "clip 0: not one (frames, dim) array"),
        ({"a": np.zeros((2, 2, 2))}, "clip 'a': shape (2, 2, 2)"),
        ("nowhere/at/all", "nowhere/at/all: not there; give the path"),
    ],
)
def test_what_is_no_latents_is_named(latents: object, words: str) -> None:
    assert words in one_line(latents)


class Trap:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        """Fail."""
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "a.ckpt", "a.npy", "a.npz", "a.safetensors"])
def test_no_pickle_is_ever_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Trap()))
    message = one_line(path)
    assert name in message
    assert "save it" in message or "numpy.save" in message


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Trap(), None]), allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=np.array([Trap(), None], object))
    for name in ("a.npy", "b.npz"):
        message = one_line(tmp_path / name)
        assert name in message
        assert "Python objects" in message


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"readme.txt": b"text"}, "no file of latents in it; must be one of .npy"),
        ({"a.npy": b"", "b.npz": b""}, "b.npz; give a folder of one kind"),
        ({"a.npy": b"\x93NUMPY"}, "a.npy: not read"),
        ({"a.npz": b"PK\x03\x04"}, "a.npz: not read"),
        ({"a.safetensors": b"\xff" * 20}, "a.safetensors: not readable as safetensors"),
        ({"a.parquet": b"PAR1"}, "a.parquet: not readable as Parquet"),
        ({"x_latents.jsonl": b"{}"}, "x_latents.jsonl, line 1: must be a JSON object"),
        ({"x_latents.jsonl": b"\xff"}, "x_latents.jsonl: not readable"),
        ({"x_latents.jsonl": b"", "y_latents.jsonl": b""}, "several manifests"),
        (
            {"x_latents.jsonl": b'{"latents_file": "gone.safetensors"}'},
            "gone.safetensors: not readable",
        ),
    ],
)
def test_a_file_that_is_broken_is_named(tmp_path: Path, files: dict, words: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert words in one_line(tmp_path)


def test_columns_that_are_no_latents_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "z": [[1.0, 2.0]], "y": [[1.0]]}), path)
    assert "columns text, z, y: must have a row a clip" in one_line(path)
    pq.write_table(pa.table({"z": [[1.0, 2.0], [1.0]]}), path)
    assert "a.parquet: frames of 1, 2 numbers: all must have as many" in one_line(path)
    pq.write_table(pa.table({"x": [1, 2]}), path)
    assert "a.parquet: columns x" in one_line(path)


@settings(max_examples=60, deadline=None)
@given(
    content=st.binary(max_size=200),
    suffix=st.sampled_from([".npy", ".npz", ".safetensors", ".parquet", ".jsonl"]),
)
def test_any_bytes_end_in_clips_or_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("bytes") / f"a{suffix}"
    path.write_bytes(content)
    message = ""
    try:
        read_source(path)
    except InputError as error:
        message = str(error)
    assert not message or path.name in message
    assert "\n" not in message
