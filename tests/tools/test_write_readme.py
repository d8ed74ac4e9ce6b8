"""Every result in the README is one of metrics/."""

import json
import subprocess
from pathlib import Path

import jinja2
import pytest

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import DETAIL_FOLDER
from tests.harness import ROOT
from tests.harness.committed import metrics_behind
from write_readme import PAGES, render, template_of

README, FINDINGS = Path("README.md"), Path("docs/explanation/findings.md")


def agrees(root: Path, target: Path, page: Path = README) -> bool:
    """Whether a page says what the metrics say that it belongs to."""
    metrics = metrics_behind(str(page), target, root)
    return render((root / template_of(page)).read_text(), metrics) == (root / page).read_text()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_says_what_the_metrics_say(page: Path, tmp_path: Path) -> None:
    """Those that were committed with it, also after `make repro` on another processor."""
    assert agrees(ROOT, tmp_path, page), "run `make readme`"


def test_the_readme_is_short_and_begins_with_how_to_start() -> None:
    lines = (ROOT / README).read_text().splitlines()
    assert len(lines) <= 150
    assert lines.index("```sh") < 60


def write_small(root: Path, said: float, measured: float) -> None:
    """A README of one number, and the metric behind it."""
    (root / "metrics/detail").mkdir(parents=True, exist_ok=True)
    (root / "metrics/detail/predict.json").write_text(json.dumps({"gain": measured}))
    (root / template_of(README)).write_text("gain {{ predict.gain | n(2) }}\n")
    (root / README).write_text(f"gain {said:.2f}\n")


@pytest.mark.parametrize(
    ("committed", "now", "right"),
    [
        ((0.25, 0.25), (0.25, 0.25), True),
        ((0.25, 0.25), (0.25, 0.26), True),  # run again on another processor
        ((0.25, 0.25), (0.26, 0.26), True),  # and written again
        ((0.25, 0.25), (0.26, 0.25), False),  # written by hand
        ((0.25, 0.25), (0.27, 0.26), False),
        ((0.26, 0.25), (0.26, 0.25), False),  # committed with a wrong number
        ((0.26, 0.25), (0.26, 0.26), False),  # whose run was not committed
        (None, (0.25, 0.25), True),  # an archive without git
        (None, (0.26, 0.25), False),
    ],
)
def test_the_readme_belongs_to_the_metrics_of_its_commit(
    committed: tuple[float, float] | None,
    now: tuple[float, float],
    right: bool,
    tmp_path: Path,
) -> None:
    """Pairs of what the README says and what was measured, as committed and as they are now."""
    root = tmp_path / "root"
    root.mkdir()
    if committed is not None:
        write_small(root, *committed)
        for command in (
            ("init", "-q"),
            ("add", "."),
            ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "a"),
        ):
            subprocess.run(["git", *command], cwd=root, check=True)
    write_small(root, *now)
    assert agrees(root, tmp_path / "committed") == right


def test_intervals_are_told_reversed_and_in_per_cent(tmp_path: Path) -> None:
    (tmp_path / "engram.json").write_text('{"help_ci_low": -0.283, "help_ci_high": 0.003}')
    template = '{{ ci(engram, "help", 2) }} {{ ci(engram, "help", 1, -100) }}'
    assert render(template, tmp_path) == "[−0.28, 0.00] [−0.3, 28.3]"


def test_nothing_is_escaped(tmp_path: Path) -> None:
    """It is Markdown, although the page shares its filters."""
    (tmp_path / "predict.json").write_text('{"best_head": "<flow>"}')
    assert render("a & {{ predict.best_head }}", tmp_path) == "a & <flow>"


def test_a_number_follows_its_metric(tmp_path: Path) -> None:
    for gain, text in ((0.25, "gain 0.25\n"), (-0.5, "gain −0.50\n")):
        (tmp_path / "predict.json").write_text(json.dumps({"test": {"gain": gain}}))
        assert render("gain {{ predict.test.gain | n(2) }}\n", tmp_path) == text


def test_a_metric_that_is_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "predict.json").write_text("{}")
    with pytest.raises(jinja2.UndefinedError, match="gain_nats"):
        render("{{ predict.gain_nats | n(2) }}", tmp_path)
    with pytest.raises(InputError, match="gain_ci_low"):
        render('{{ ci(predict, "gain", 2) }}', tmp_path)


def test_words_that_no_recogniser_counted_are_not_told(tmp_path: Path) -> None:
    for path in DETAIL_FOLDER.glob("*.json"):
        metrics = json.loads(path.read_text())
        metrics.pop("english", None)
        (tmp_path / path.name).write_text(json.dumps(metrics))
    told = render(template_of(FINDINGS).read_text(), tmp_path)
    assert "an English recogniser gets" in FINDINGS.read_text()
    assert "an English recogniser gets" not in told
