"""All layouts side by side, a Mac's names and damage, from the folder to gains, without a word."""

import json
import math
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from mimi_dynamics.speech.notes import MISSING
from mimi_dynamics.speech.summary import REASONS
from tests.harness.layouts import Voices
from tests.harness.small_pipeline import make_clone, run
from tests.harness.speechlike import RATE, speechlike
from tests.harness.wild_tree import JOSE, write_no_sound, write_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000)]
EVERY = 20  # so many recordings to one that is damaged
SECONDS, SECONDS_OF_DAMAGED = 1.3, 4.0
STAGES = ("ingest", "encode", "normalize", "predict")


Tree = tuple[Path, Voices, set[str], set[str]]


def middle(content: bytes, new: bytes) -> bytes:
    half = len(content) // 2
    return content[:half] + new + content[half + len(new) :]


DAMAGE: list[Callable[[bytes], bytes]] = [
    lambda content: middle(content, bytes(400)),
    lambda content: content[: -len(content) // 8],
    lambda content: content + b"</body></html>\n" * 50,
    lambda content: middle(content, bytes([content[len(content) // 2] ^ 0xFF])),
    lambda content: content[:100] + bytes(len(content) - 100),  # nothing is left
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The folder, the voice of each recording, which are damaged, and what is no sound."""
    root = tmp_path_factory.mktemp("wild") / "my disk"

    def sound_of(number: int) -> tuple[np.ndarray, int]:
        seconds = SECONDS if number % EVERY else SECONDS_OF_DAMAGED
        return speechlike(seconds, number, 90.0 + 2 * number), RATE

    voices = write_tree(root, sound_of)
    damaged = list(voices)[::EVERY]
    for number, name in enumerate(damaged):
        content = (root / name).read_bytes()
        (root / name).write_bytes(DAMAGE[number % len(DAMAGE)](content))
    return root, voices, set(damaged), write_no_sound(root)


@pytest.fixture(scope="module")
def clone(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the smallest settings, and no other word than the folder and a voice."""
    folder = tmp_path_factory.mktemp("clone")
    make_clone(folder, clips_per_voice=1)
    yaml = YAML()
    settings = yaml.load(folder / "params.yaml")
    settings["ingest"] |= {"folder": {"path": str(tree[0])}, "test_voices": [JOSE]}
    yaml.dump(settings, folder / "params.yaml")
    for stage in STAGES:
        run(folder, "dvc", "repro", stage)
    return folder


def nfc(names: set[str]) -> set[str]:
    """As `ingest` calls them."""
    return {f"folder/{unicodedata.normalize('NFC', name)}" for name in names}


def test_every_recording_is_a_clip_of_its_voice_or_is_told_of(tree: Tree, clone: Path) -> None:
    _, voices, damaged, no_sound = tree
    manifest = pd.read_parquet(clone / "data/manifest.parquet")
    notes = pd.read_csv(clone / "data/notes.csv", keep_default_na=False)
    rejected = pd.read_csv(clone / "data/rejected.csv", keep_default_na=False)
    pieces = dict(zip(notes["clip_id"], notes["name"], strict=True))
    source = manifest["clip_id"].map(lambda clip: pieces.get(clip, clip))
    found = dict(zip(source, manifest["voice"], strict=True))
    expected = {
        f"folder/{unicodedata.normalize('NFC', name)}": unicodedata.normalize("NFC", voice)
        for name, voice in voices.items()
    }
    assert found.items() <= expected.items()
    wrong = set(rejected["name"])
    assert wrong.isdisjoint(found)
    assert nfc(no_sound) <= wrong
    assert set(expected) - set(found) <= wrong & nfc(damaged)
    assert set(rejected["reason"]) <= {*REASONS}
    assert set(notes["name"]) <= nfc(damaged)
    assert set(notes["note"]) & set(MISSING)
    assert wrong & nfc(damaged)
    assert set(manifest["voice"][manifest["split"] == "test_voice"]) == {JOSE}


def test_every_clip_is_encoded_and_gains_are_numbers(clone: Path) -> None:
    manifest = pd.read_parquet(clone / "data/manifest.parquet")
    paths = (clone / "data/latents").glob("*.parquet")
    encoded = pd.concat(pd.read_parquet(path, columns=["clip_id"]) for path in paths)
    assert set(encoded["clip_id"]) == set(manifest["clip_id"])
    found = json.loads((clone / "metrics/detail/predict.json").read_text())
    assert all(math.isfinite(found[key]) for key in ("gain_nats_per_dim", "dim"))
