"""A spliced corpus is the same clips with their frames, and their silence, in another order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from mimi_dynamics.codec.base import FRAME_SIZE, SAMPLE_RATE
from mimi_dynamics.codec.clips import read_clip
from mimi_dynamics.encoding.splice import draw_order, seed_of_clip, splice
from mimi_dynamics.encoding.spliced import splice_corpus
from tests.harness.speechlike import speechlike


@pytest.fixture
def manifest(tmp_path: Path) -> pd.DataFrame:
    """Two clips, of which one has half a frame of digital silence."""
    rows = []
    for number, seconds in enumerate((1.0, 2.5)):
        path = tmp_path / f"{number}.flac"
        soundfile.write(path, speechlike(seconds, number), SAMPLE_RATE, subtype="PCM_16")
        silent = [3 * FRAME_SIZE, 3 * FRAME_SIZE + 960] if number else []
        gated = np.array(silent, np.int64)
        rows.append({"clip_id": f"a/{number}", "split": "train", "path": path, "gated": gated})
    return pd.DataFrame(rows, index=[7, 3])


def test_every_clip_is_there_in_its_own_order(manifest: pd.DataFrame, tmp_path: Path) -> None:
    found = splice_corpus(manifest, tmp_path / "new", seed=5)
    assert found["clip_id"].tolist() == manifest["clip_id"].tolist()
    for before, after in zip(manifest.itertuples(), found.itertuples(), strict=True):
        audio = read_clip(Path(before.path))
        order = draw_order(len(audio), 1, seed_of_clip(5, before.clip_id))
        assert not np.array_equal(order, np.arange(len(order)))
        heard = read_clip(Path(after.path))
        np.testing.assert_allclose(heard, splice(audio, order), atol=2**-15)
        if len(before.gated):
            assert after.gated[0] == np.flatnonzero(order == 3)[0] * FRAME_SIZE
        else:
            assert not len(after.gated)


def test_a_clip_is_spliced_alone_as_with_others(manifest: pd.DataFrame, tmp_path: Path) -> None:
    every = splice_corpus(manifest, tmp_path / "all", seed=0)
    alone = splice_corpus(manifest.iloc[1:], tmp_path / "one", seed=0)
    same = (Path(of["path"].iloc[-1]).read_bytes() for of in (every, alone))
    assert len(set(same)) == 1
