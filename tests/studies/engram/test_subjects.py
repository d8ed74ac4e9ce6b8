"""Codes are keys only where there are some."""

import numpy as np
import pytest

from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.studies.engram.subjects import first_codes
from tests.harness import ROOT

PARAMS = load_params(ROOT / "params.yaml")
NAMES = np.array(["a"])


def latents(codes: np.ndarray) -> Latents:
    """One clip of as many frames as there are codes."""
    count = len(codes)
    values, level = np.zeros((count, 2), np.float32), np.zeros(count, np.float32)
    return Latents(values, level, level > 0, codes, np.array([count]), NAMES, NAMES, NAMES, {})


def keyed_by(keys: str) -> Params:
    """The settings with other keys."""
    return PARAMS.model_copy(update={"engram": PARAMS.engram.model_copy(update={"keys": keys})})


def test_codes_are_those_of_the_first_codebook() -> None:
    codes = np.arange(12, dtype=np.int16).reshape(6, 2)
    assert first_codes(latents(codes), keyed_by("codebook")).tolist() == [0, 2, 4, 6, 8, 10]


def test_without_codes_other_keys_need_none() -> None:
    none = latents(np.zeros((6, 0), np.int16))
    assert len(first_codes(none, keyed_by("kmeans"))) == 6
    with pytest.raises(InputError, match="these latents have no codes"):
        first_codes(none, keyed_by("codebook"))
