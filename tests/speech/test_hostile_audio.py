"""Malformed files in every way beside good clips; `hostile_audio` says what is looked at."""

import contextlib
import io
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mimi_dynamics.speech.audio import AudioError, decode_audio, write_flac
from tests.harness.audio_files import FORMATS
from tests.harness.hostile_audio import Corpus, make_corpus, problems, run_ingest, table
from tests.harness.hostile_ways import WAYS, Place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="others refuse such names")
Ingested = tuple[Corpus, Path, dict[str, float]]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """Every way once."""
    folder = tmp_path_factory.mktemp("hostile")
    corpus = make_corpus(folder, files=len(WAYS), seed=1)
    return corpus, folder / "work", run_ingest(corpus, folder / "work")


@pytest.mark.timeout(120)
def test_every_malformed_file_is_as_promised(ingested: Ingested) -> None:
    assert len(WAYS) >= 70
    assert problems(*ingested) == []
    summary = table(*ingested)
    assert summary.loc["good clip", "kept"] == summary.loc["good clip", "files"] == 40
    assert summary.loc["endless", "reasons"] == "too_slow"


@pytest.mark.parametrize(
    "harm", ["forgotten", "both", "changed", "from outside", "takes long", "left"]
)
def test_what_is_not_as_promised_would_be_found(ingested: Ingested, harm: str) -> None:
    corpus, work, seconds = ingested
    rejected, manifest = work / "data/rejected.csv", work / "data/manifest.parquet"
    clip = work / pd.read_parquet(manifest)["path"].iloc[3]
    files = [rejected, manifest, clip]
    before = [path.read_bytes() for path in files]
    lines = rejected.read_text().splitlines(keepends=True)
    if harm == "forgotten":
        rejected.write_text("".join(lines[:-1]))
    elif harm == "both":
        rejected.write_text(f"{lines[0]}folder/aaa/03.wav,empty\n{''.join(lines[1:])}")
    elif harm == "changed":
        pcm, _ = soundfile.read(clip, dtype="int16")
        pcm[100] ^= 1
        write_flac(clip, pcm)
    elif harm == "from outside":
        write_flac(clip, corpus.secrets[0])
    elif harm == "left":
        (work / "pwned").touch()
    slow = dict.fromkeys(seconds, 6.0) if harm == "takes long" else seconds
    found = problems(corpus, work, slow)
    (work / "pwned").unlink(missing_ok=True)
    for path, content in zip(files, before, strict=True):
        path.write_bytes(content)
    assert found
    assert problems(corpus, work, seconds) == []


@cache
def good_file(ending: str) -> bytes:
    """Of one format."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), Path(), Path(), np.random.default_rng(0))
        return bytes(place.encoded(ending)[1])


EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8), st.booleans()), max_size=6
)


@settings(max_examples=600, deadline=None)
@given(ending=st.sampled_from(FORMATS), edits=EDITS, early=st.booleans(), kept=st.floats(0, 1))
def test_no_damage_makes_the_decoder_do_anything_else(
    ending: str, edits: list[tuple[float, bytes, bool]], early: bool, kept: float
) -> None:
    """Bytes changed, put in or cut off, in the header or anywhere: a sound, or a reason."""
    content = bytearray(good_file(ending))
    for place, new, insert in edits:
        at = int(place * (min(100, len(content)) if early else len(content)))
        content[at : at + (0 if insert else len(new))] = new
    file = io.BytesIO(content[: max(1, int(kept * len(content) * 1.5))])
    file.name = f"a.{ending}"
    sound = np.zeros(0)
    with contextlib.suppress(AudioError):  # anything else is a failure
        sound = decode_audio(file, max_seconds=1)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max(initial=0) <= 1


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_a_thousand_malformed_files(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, files=1_000, seed=0)
    assert problems(corpus, tmp_path / "work", run_ingest(corpus, tmp_path / "work")) == []
