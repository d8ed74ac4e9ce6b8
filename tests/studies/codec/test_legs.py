"""Legs go on from the weights before them, alone or in several processes, killed or not."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from mimi_dynamics.codec.mimi_mini import halves, read_mini
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import MiniParams, load_params
from mimi_dynamics.pipeline.tensors import sha256_of_tensors
from mimi_dynamics.studies.codec import training
from mimi_dynamics.studies.codec.legs import train_legs
from mimi_dynamics.studies.codec.training import CodecTraining
from tests.harness import ROOT
from tests.harness.codec_leg import AUDIO, LEG, TWO_LEGS
from tests.harness.tiny_codec import TINY
from tests.harness.torchrun import torchrun

COMMITTED = [
    ROOT / "models/mimi-mini.safetensors",
    *sorted((ROOT / "models/checkpoints").glob("*.safetensors")),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of two legs, trained in one go."""
    folder = tmp_path_factory.mktemp("whole")
    log = train_legs(TWO_LEGS, AUDIO, folder, folder / "weights.safetensors")
    assert [row["leg"] for row in log] == [1] * 8 + [2] * 5
    return folder / "weights.safetensors"


def chained(path: Path) -> None:
    """Every leg begins where the one before it ended, and the last ended with these weights."""
    weights, info = read_mini(path)
    chain = info["chain"]
    assert len(chain) == len(info["params"]["legs"])
    for before, after in pairwise(chain):
        assert after["start"] == before["end"]
    assert chain[-1]["end"] == sha256_of_tensors(weights)


@pytest.mark.trains
def test_the_weights_tell_all_legs(whole: Path) -> None:
    """Each with its settings, its start and its end."""
    chained(whole)
    info = read_mini(whole)[1]
    assert info["params"] == TWO_LEGS.model_dump()
    assert info["chain"][0]["start"] == CodecTraining(TINY, LEG, AUDIO).start


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_weights(path: Path) -> None:
    """Are what they say they are, and of the shape that the settings name."""
    chained(path)
    shape = load_params(ROOT / "params.yaml").codec.mini.model_dump(exclude={"legs"})
    assert read_mini(path)[1]["params"].items() >= shape.items()


@pytest.mark.trains
def test_a_leg_that_is_added_later(whole: Path, tmp_path: Path) -> None:
    """Alone it is trained, and gives the very file of both in one go."""
    path = tmp_path / "weights.safetensors"
    train_legs(TWO_LEGS.model_copy(update={"legs": [LEG]}), AUDIO, tmp_path, path)
    log = train_legs(TWO_LEGS, AUDIO, tmp_path, path)
    assert {row["leg"] for row in log} == {2}
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.trains
@pytest.mark.parametrize(
    "other",
    [
        TWO_LEGS,
        TWO_LEGS.model_copy(update={"legs": [LEG.model_copy(update={"seed": 9})]}),
        TWO_LEGS.model_copy(update={"bins": 9}),
    ],
    ids=["nothing to add", "another first leg", "another shape"],
)
def test_weights_to_go_on_from_must_fit(other: MiniParams, whole: Path, tmp_path: Path) -> None:
    """Else training starts anew."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(whole.read_bytes())
    log = train_legs(other, AUDIO, tmp_path, path)
    assert log[0]["leg"] == log[0]["step"] == 1
    chained(path)


def test_processes_share_the_batch_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each clip is in one process."""
    alone = CodecTraining(TINY, LEG, AUDIO)._draw(7)
    monkeypatch.setattr(training, "world_size", lambda: 2)
    shares = []
    for process in (0, 1):
        monkeypatch.setattr(training, "rank", lambda process=process: process)
        shares.append(CodecTraining(TINY, LEG, AUDIO)._draw(7))
    assert [len(share) for share in shares] == [2, 2]
    for process, share in enumerate(shares):
        assert share.equal(alone[process::2])
    with pytest.raises(InputError, match=r"batch_clips = 3: must be a multiple of .* 2$"):
        CodecTraining(TINY, TINY.legs[0], AUDIO)


@pytest.mark.trains
@pytest.mark.slow
def test_two_processes_after_a_kill(tmp_path: Path) -> None:
    """All processes have the same weights, and those of a run that nobody killed."""
    ends = []
    for name, killed_at in (("whole", []), ("killed", ["5"])):
        folder = tmp_path / name
        folder.mkdir()
        if killed_at:
            torchrun("-m", "tests.harness.codec_leg", str(folder), *killed_at, ends_well=False)
            assert not (folder / "weights.safetensors").exists()
        torchrun("-m", "tests.harness.codec_leg", str(folder))
        (first, _), (second, _) = (
            json.loads((folder / f"{process}.json").read_text()) for process in (0, 1)
        )
        assert first == second
        chained(folder / "weights.safetensors")
        ends.append((folder / "weights.safetensors").read_bytes())
    assert ends[0] == ends[1]


def test_weights_are_rounded_before_the_next_leg(whole: Path) -> None:
    """So that a leg can be trained from the committed file."""
    weights, _ = read_mini(whole)
    assert sha256_of_tensors(halves(weights)) == sha256_of_tensors(weights)
