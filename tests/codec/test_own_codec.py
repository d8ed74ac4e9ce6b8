"""The page on a codec of your own, followed literally."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_model

from mimi_dynamics.codec import loading
from mimi_dynamics.codec.base import Codec
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.studies.codec_row.subjects import make_subject
from tests.codec import test_codecs
from tests.harness import ROOT
from tests.harness.own_codec import shown_making_of_weights, shown_module
from tests.harness.tiny_codec import two_sounds
from tests.studies.codec_row.fake_codec import write_speech

MOST_LINES = 46  # of the module, blank ones aside
CLIPS = {"train": 20, "validation": 6, "test": 6}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module on the page, in `CODECS`, with weights where it looks for them."""
    code = shown_module()
    assert len([line for line in code.splitlines() if line.strip()]) <= MOST_LINES
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("mine")
    monkeypatch.setitem(loading.CODECS, "mine", module)
    (tmp_path / "models").mkdir()
    torch.manual_seed(0)
    save_model(module.untrained(None).model, str(module.WEIGHTS))
    yield module
    del sys.modules["mine"]


def test_it_is_a_codec(mine: ModuleType) -> None:
    """Of its weights; alone as in a batch, and deaf to what follows and to what went before."""
    codec, audio = mine.load(None), two_sounds()[:, :-100]
    latents = codec.encode(audio)
    assert len(codec.weights_sha256) == 64
    assert latents.shape == (2, 12, 64)
    torch.testing.assert_close(codec.encode(audio[:1]), latents[:1])
    other = audio.clone()
    other[:, 7 * codec.frame_size : 8 * codec.frame_size] += 0.1
    changed = (codec.encode(other) != latents).any(2).any(0)
    assert changed.nonzero().flatten().tolist() == [7]


def checks_of_all_codecs() -> list[Callable[[Codec, torch.Tensor], None]]:
    """The tests of `test_codecs` that a codec and sounds are given."""
    tests = [of for name, of in vars(test_codecs).items() if name.startswith("test_")]
    return [of for of in tests if list(inspect.signature(of).parameters) == ["codec", "audio"]]


@pytest.mark.parametrize("check", checks_of_all_codecs(), ids=lambda check: check.__name__)
def test_it_passes_what_all_codecs_pass(
    mine: ModuleType, check: Callable[[Codec, torch.Tensor], None]
) -> None:
    check(mine.load(None), two_sounds())


def test_the_page_says_how_weights_at_random_are_made(mine: ModuleType) -> None:
    mine.WEIGHTS.unlink()
    imported, made = shown_making_of_weights().split("; ", 1)
    assert imported == "from mimi_dynamics.codec import mine"
    exec(made, {"mine": mine})
    assert len(mine.load(None).weights_sha256) == 64


def test_it_is_measured(mine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `python src/codec_row.py mine` does, up to the densities."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    params = load_params(ROOT / "params.yaml")
    manifest = write_speech(tmp_path / "audio", CLIPS, 30)
    subject = make_subject("mine", manifest, params, tmp_path / "work")
    assert subject.latents.info["codec"] == "mine"
    assert subject.data.dim == params.latents.dim
    assert subject.speech is not None
    assert np.isfinite(subject.speech.targets.numpy()).all()
