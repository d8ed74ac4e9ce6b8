"""The page: its numbers are those of the metrics, it needs no network, and it holds its tongue."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.report.meanings import MEANINGS, heard
from mimi_dynamics.report.media import read_figure, read_sounds
from mimi_dynamics.report.metrics_file import measured
from mimi_dynamics.report.page import CONTENTS
from tests.harness import ROOT
from tests.report.conftest import all_metrics, built, card, verdicts_of
from tests.report.test_rulings import RULES

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDTHS = (360, 1280)  # of a phone and of a desk, in CSS pixels
PROBE = """<script>addEventListener("load", () => console.log("probe " + JSON.stringify({
width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth,
sounds: document.querySelectorAll("audio").length,
playing: [...document.querySelectorAll("audio")].filter(a => !a.paused).length,
broken: [...document.images].filter(i => !i.naturalWidth).length})))</script>"""


class Tags(HTMLParser):
    """Every start tag with its attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.found.append((tag, dict(attrs)))


def test_the_same_page_has_the_same_bytes(folder: Path, html: str) -> None:
    assert built(folder, all_metrics()) == html


def test_everything_shown_is_inside_the_file(html: str) -> None:
    """No scripts, nothing from elsewhere, nothing that plays by itself."""
    tags = Tags(html).found
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in tags}
    assert all(a["src"].startswith("data:") for _, a in tags if "src" in a)
    assert "url(" not in html
    assert "@import" not in html
    sounds = [a for tag, a in tags if tag == "audio"]
    assert [a["aria-label"] for a in sounds] == [
        *("a<b-clip, the recording", "a<b-clip, continued by the predictor, draw 1"),
        "clip, the recording",
        *("clip, continued by CALM, draw 1", "clip, continued by ours, draw 1"),
    ]
    assert all("autoplay" not in a and a["preload"] == "none" for a in sounds)
    assert all(a["alt"] for tag, a in tags if tag == "img")


def test_links_lead_somewhere(html: str) -> None:
    """Sections of the page, or files of the repository beside it."""
    tags = Tags(html).found
    anchors = {a["id"] for _, a in tags if "id" in a}
    links = {a["href"] for tag, a in tags if tag == "a"}
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors
        else:
            assert (
                ROOT / "report" / link
            ).resolve().is_file() or link == "../metrics/detail/bets.json"


def test_every_number_is_that_of_the_metrics_file_it_links_to(html: str) -> None:
    metrics = all_metrics()
    pattern = re.compile(
        r'<a href="\.\./metrics/detail/(\w+)\.json" title="(\S+) in metrics/detail/\1\.json, '
        r'made by dvc repro \1"><b>(.*?)</b>'
    )
    found = pattern.findall(html)
    assert len(found) == html.count('<div class="number">') > 30
    for stage, key, text in found:
        value = measured(metrics[stage], key).value
        shown = float(re.match(r"−?[\d.]+", text)[0].replace("−", "-"))
        scale = {"%": 100, "M": 1e-6}.get(text[-1], 1)
        assert shown == pytest.approx(value * scale, abs=0.51 if text.endswith("ms") else 0.051)


def test_a_stage_that_has_not_run_has_no_section(folder: Path, html: str) -> None:
    few = {stage: all_metrics()[stage] for stage in ("controls", "predict", "horizons")}
    short = built(folder, few)
    assert "metrics/engram.json" not in short
    assert "Its rules do not ask whose doing" not in short
    assert set(re.findall(r'<section id="(\w+)">', short)) == {
        *("bets", "controls", "predict", "learning_curve", "calibration", "horizons")
    }
    for number_, verdicts in ((1, ["supported"]), (3, []), (4, [])):
        assert verdicts_of(short, number_) == ["not measured", *(verdicts or ["not measured"])]
    sections = set(re.findall(r'<section id="(\w+)">', html))
    assert sections == {"bets", *(section.name for section in CONTENTS)}


def test_a_page_of_few_stages_says_what_was_not_run(folder: Path, html: str) -> None:
    """And nothing of lead times where no distance but one was measured."""
    few = {stage: all_metrics()[stage] for stage in ("controls", "predict")}
    short = built(folder, few, not_run=("horizons", "rssm"))
    said = "Stages that were not run, and have no section here"
    assert f"{said}: <code>horizons</code>, <code>rssm</code>." in short
    assert said not in html
    assert "Run the stage codec_table.</p>" in short
    assert "rssm has not been run" in card(short, 2)


def test_the_stage_judges_what_has_run(tmp_path: Path) -> None:
    """As after `make quick`, three stages alone; it ends where the controls are missing."""
    shutil.copytree(ROOT / "metrics", tmp_path / "metrics")
    (tmp_path / "plots").mkdir()
    for name in ("calibration", "controls", "horizons", "learning_curve", "predict"):
        shutil.copy(ROOT / f"plots/{name}.csv", tmp_path / "plots")
    for name in ("params.yaml", "bets.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for path in (tmp_path / "metrics").rglob("*.json"):
        if path.stem not in ("controls", "horizons", "predict"):
            path.unlink()
    command = [sys.executable, ROOT / "src/bets.py"]
    subprocess.run([sys.executable, ROOT / "src/figures.py"], cwd=tmp_path, check=True)
    for later, said in (("", "not measured (65 %)"), ("later", "")):
        told = os.environ | {"CLOSING_SCREEN": later}
        stage = subprocess.run(
            command, cwd=tmp_path, env=told, capture_output=True, encoding="utf-8", check=True
        )
        assert said in stage.stdout
        assert bool(stage.stdout) == bool(said)
    metrics = json.loads((tmp_path / "metrics/bets.json").read_text(encoding="utf-8"))
    assert [metrics[f"bet{number}"]["measured"] for number in (1, 2, 3, 4)] == [0, 0, 0, 0]
    detail = json.loads((tmp_path / "metrics/detail/bets.json").read_text(encoding="utf-8"))
    assert detail["bet1"]["rules_2026_11_22"]["measured"] == 1
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert "<code>rssm</code>" in page
    assert "<code>predict</code>" not in page
    for path in (tmp_path / "metrics").rglob("controls.json"):
        path.unlink()
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("bets: error: metrics/")
    assert "run the stage controls" in failed.stderr


def test_the_first_screen_has_the_answer_the_figure_and_four_verdicts(html: str) -> None:
    """In this order, above everything else; each verdict leads to its chapter."""
    answer, figure = html.index('<p class="lead">'), html.index("<figure>")
    verdicts = [html.index(f'href="#bet{number}"') for number in (1, 2, 3, 4)]
    assert sorted([answer, figure, *verdicts]) == [answer, figure, *verdicts]
    assert verdicts[-1] < html.index("<nav")
    codec = measured(all_metrics()["codec_table"], "codec.dynamic_gain_nats_per_dim")
    assert f"the past tells {codec.value:.3f} [" in html[answer:figure]


def test_every_key_that_a_rule_reads_and_every_sound_is_told_in_words(html: str) -> None:
    rules = [rules for bet in RULES.bets.values() for rules in bet.rules.values()]
    keys = {condition.key for of in rules for condition in of.conditions}
    assert keys == set(MEANINGS)
    assert not [key for key in keys if f">{key}" in html or f" {key}:" in html]
    assert heard("codec latents") == "from the codec's latents, not quantised"
    assert heard("somebody's 3") == "somebody's 3"


def test_names_of_clips_are_escaped(html: str) -> None:
    assert "<h4>a&lt;b-clip</h4>" in html


def test_a_number_that_is_gone_is_named(folder: Path) -> None:
    """In one line."""
    metrics = all_metrics()
    del metrics["predict"]["r2_one_step"]
    with pytest.raises(InputError, match="r2_one_step"):
        built(folder, metrics)


def test_files_that_cannot_be_shown_are_named(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "a.recorded.wav").write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"a\.recorded\.wav: cannot be read as audio"):
        read_sounds(tmp_path)
    with pytest.raises(InputError, match=r"b\.png: cannot be read as a picture"):
        read_figure(tmp_path / "b.png")


def test_dark_colours_are_for_screens_and_nothing_is_cut_on_paper(html: str) -> None:
    """Whoever reads in the dark prints on white paper, where no scroll bar can be moved."""
    dark = re.findall(r"@media ([^{]*prefers-color-scheme: dark[^{]*){", html)
    assert dark
    assert all(query.startswith("screen and ") for query in dark)
    paper = html.partition("@media print {")[2].partition("\n}")[0]
    assert "color-scheme: light" in paper
    assert "figure, .scroll { overflow: visible; }" in paper
    assert re.search(r"audio, [^{]*{ display: none; }", paper)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_finds_nothing_to_complain_of(html: str, tmp_path: Path) -> None:
    """On a phone and on a desk: no console message, broken picture, sound or sideways scroll."""
    (tmp_path / "page.html").write_text(html.replace("</body>", PROBE + "</body>"), "utf-8")
    frames = "".join(f'<iframe src="page.html" width="{w}" height="800"></iframe>' for w in WIDTHS)
    (tmp_path / "frames.html").write_text(f"<!DOCTYPE html>{frames}", encoding="utf-8")
    result = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--dump-dom", (tmp_path / "frames.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    said = re.findall(r'CONSOLE:\d+\] "(.*)", source', result.stderr)
    probes = [json.loads(text.removeprefix("probe ")) for text in said]  # anything else is an error
    assert sorted(probe["width"] for probe in probes) == sorted(WIDTHS)
    for probe in probes:
        assert (probe["sounds"], probe["playing"], probe["broken"]) == (5, 0, 0)
        assert probe["overflow"] <= 0
