"""Matrix products in place of convolutions give what moshi's encoder gives."""

from pathlib import Path

import pytest
import torch

from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.encoding.fast_encoder import MatrixEncoder
from tests.harness.tiny_codec import load_tiny, noise


@pytest.mark.trains
@pytest.mark.parametrize("frames", [1, 2, 13])
def test_as_moshi_has_it(tmp_path: Path, frames: int) -> None:
    encoder = load_tiny(tmp_path).model.encoder
    seconds = frames * FRAME_SIZE / 24000
    audio = torch.stack([torch.from_numpy(noise(seconds, seed))[None] for seed in (1, 2, 3)])
    expected = encoder(audio)
    found = MatrixEncoder(encoder)(audio)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))
