"""The page with every number in git, small figures and short sounds."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from mimi_dynamics.pipeline.metrics import detail_path, read_metrics
from mimi_dynamics.report.bets import check_controls, judge_all
from mimi_dynamics.report.page import CONTENTS, OPENING, WITH_SOUNDS, WITHOUT_FIGURE, with_sections
from mimi_dynamics.report.parts import Page, render
from mimi_dynamics.report.rules import BetsParams
from tests.harness import ROOT
from tests.report.test_rulings import RULES


def all_metrics() -> dict[str, Any]:
    """Those in git, of the stages that the page tells of."""
    stages = {"ingest", *(section.stage for section in CONTENTS)}
    return {stage: read_metrics(ROOT / detail_path(stage)) for stage in stages}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small figures and sounds where the page looks for them."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "plots").mkdir()
    for stage in WITH_SOUNDS:
        (folder / "data" / stage).mkdir(parents=True)
    names = {section.name for section in CONTENTS} - {*WITHOUT_FIGURE} | {OPENING}
    paths = [folder / "plots" / f"{name}.png" for name in names]
    paths += [folder / f"data/{stage}/spectrograms.png" for stage in WITH_SOUNDS]
    for path in paths:
        Image.new("RGB", (60, 40), "white").save(path)
    tone = np.sin(np.arange(4800) * 0.1).astype(np.float32)
    for kind in ("recorded", "sample-1"):
        soundfile.write(folder / f"data/rollout/a<b-clip.{kind}.wav", tone, 24000)
    for kind in ("recorded", "calm-1", "ours-1"):
        soundfile.write(folder / f"data/calm/clip.{kind}.wav", tone, 24000)
    return folder


def built(
    folder: Path,
    metrics: dict[str, Any],
    limits: float = 0.9,
    not_run: tuple[str, ...] = (),
    bets: BetsParams = RULES,
) -> str:
    """The page, with controls failing or not by the share of a known gain that they ask for."""
    rules = bets.controls.model_copy(update={"least_recovered": limits})
    check = check_controls(metrics["controls"], rules)
    found = list(judge_all(bets, metrics, check.failed).values())
    page = Page(found, check, rules, metrics, "mimi-mini", not_run)
    return render(with_sections(page, folder))


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    """The page with everything on it."""
    return built(folder, all_metrics())


def card(html: str, number: int) -> str:
    """What the page says of a bet, on one line."""
    text = html[html.index(f"<b>Bet {number}:</b>") :]
    return " ".join(text[: text.index("</code></p>\n</div>")].split())


def verdicts_of(html: str, number: int) -> list[str]:
    """The verdicts on a bet in their row, by the latest rules first."""
    return re.findall(r'<p class="verdict">mimi-mini: ([\w ]+)</p>', card(html, number))[:2]
