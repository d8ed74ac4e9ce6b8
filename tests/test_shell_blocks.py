"""Blocks of shell in the documents: they parse, name what is there, and tutorials run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.harness import ROOT
from tests.test_docs import PAGES, name_of

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"(?:-S|--set-param) ['\"]?([\w.]+)=")
TARGET = re.compile(r"\bmake (?:-\S+ |\w+=\S+ )*([a-z]\w*)")
# Stages and installations take too long; tests/measurement/test_tutorial.py runs what is measured.
LEFT_OUT = re.compile(
    r"repro|exp run|make |measure_codec|queue start|pip install|torchrun|pytest"
    r"|mimi-dynamics measure|benchmarks/measure"
)
LESSONS = [ROOT / "README.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    """The blocks of shell on a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def runnable(page: Path) -> str:
    """The blocks of a page but those that are left out, as one script."""
    return "\n".join(block for block in blocks(page) if not LEFT_OUT.search(block))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_parse(page: Path) -> None:
    for block in blocks(page):
        checked = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, check=False
        )
        assert not checked.stderr, block


def test_settings_and_targets_in_blocks_are_there() -> None:
    text = "\n".join(block for page in PAGES for block in blocks(page))
    text = re.sub(r"(^| )#.*", "", text, flags=re.MULTILINE)
    settings, targets = set(SETTING.findall(text)), set(TARGET.findall(text))
    assert {"horizon", "ingest.folder.path"} <= settings
    assert {"quick", "repro"} <= targets
    params = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for setting in settings:
        found = params
        for part in setting.split("."):
            found = found[part]
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert not {target for target in targets if f"\n{target}:" not in rules}


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in LESSONS if runnable(page)], ids=lambda page: page.stem
)
def test_blocks_of_a_tutorial_run(page: Path, tmp_path: Path) -> None:
    """In a fresh clone of what is committed, with this environment."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    (clone / ".venv").symlink_to(sys.prefix)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = f"set -euo pipefail\n{runnable(page)}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
