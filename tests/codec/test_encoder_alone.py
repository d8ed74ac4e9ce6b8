"""A codec that is an encoder alone, named as the page says, through the whole pipeline by DVC."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.harness.own_codec import shown_making_of_weights, shown_module
from tests.harness.small_pipeline import make_clone, run

NAMED = {  # where the page says that a codec is named: what stands there, and what comes after it
    "src/mimi_dynamics/codec/loading.py": [
        ("from mimi_dynamics.codec import hf, lyra, ", "mine, "),
        ("CODECS: dict[str, ModuleType] = {", '\n    "mine": mine,'),
    ],
    "src/mimi_dynamics/pipeline/sections/codec.py": [('CodecName = Literal["', 'mine", "')],
    "src/mimi_dynamics/pipeline/sections/measures.py": [("RowName = Literal[", '"mine",')],
}
SAID = ("normalize", "reconstruct", "structure", "rollout", "rssm", "calm")


def add_codec(clone: Path) -> None:
    """Do what the page says, up to weights at random."""
    (clone / "src/mimi_dynamics/codec/mine.py").write_text(shown_module())
    for name, places in NAMED.items():
        text = (clone / name).read_text()
        for place, after in places:
            assert text.count(place) == 1
            text = text.replace(place, place + after)
        (clone / name).write_text(text)
    run(clone, "env", "PYTHONPATH=src", sys.executable, "-c", shown_making_of_weights())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_encoder_alone_passes_through_every_stage(tmp_path: Path) -> None:
    """Each stage that would decode says so in a line; gains are there, and sounds are not."""
    clone = tmp_path / "clone"
    clone.mkdir()
    make_clone(clone)
    add_codec(clone)
    run(clone, "git", "add", "-A")
    run(clone, "git", "commit", "-qm", "mine")
    output = ""
    for stage in ("predict", "horizons", "structure", "codec_table", "rssm", "calm", "bets"):
        done = run(clone, "dvc", "exp", "run", "-S", "codec.name=mine", stage)
        output += done.stdout + done.stderr
    for stage in SAID:
        said = re.findall(rf"^{stage}: these latents have no decoder: ", output, re.M)
        assert len(said) == 1, stage
    assert "codes: mine has none, so no bits are counted" in output
    row = json.loads((clone / "metrics/detail/codec_table.json").read_text())["codec"]
    assert "quality" not in row
    assert {"dynamic_gain_nats_per_dim", "spliced", "k2"} <= row.keys()
    assert not list((clone / "data/rollout").glob("*.wav"))
    assert "<audio" not in (clone / "report/index.html").read_text(encoding="utf-8")
