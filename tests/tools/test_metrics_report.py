"""What a pull request shows of its numbers: changes made up, and two commits of this repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metrics_cost import cost_table
from metrics_report import RULES, metrics_of, rules_difference, with_intervals
from metrics_tables import MOST_ROWS, bets_table, markdown, metrics_table, params_table
from mimi_dynamics.report.differences import Row, better, rows_of
from tests.harness import ROOT

BEFORE, AFTER = "768f41e", "d715e0f"  # commits of results: another estimator, new stages


def changed(old: float, new: float, key: str = "gain") -> dict[str, dict[str, float]]:
    """What DVC says of a metric with an interval of ± 0.1."""
    ends = {"_ci_low": -0.1, "": 0.0, "_ci_high": 0.1}
    return {key + end: {"old": old + by, "new": new + by} for end, by in ends.items()}


@pytest.mark.parametrize(
    ("key", "direction"),
    [
        ("gain_nats_per_dim", 1),
        ("delta.dnll_nats_per_dim", -1),
        ("heads.flow.nll_nats_per_dim", -1),
        ("k4.energy_score.rollout", -1),
        ("k4.skill.rollout", 1),
        ("surrogates.shuffled.gain_nats_per_dim", 0),
        ("released", 0),
    ],
)
def test_names_tell_which_way_is_better(key: str, direction: int) -> None:
    assert better(key) == direction


@pytest.mark.parametrize(
    ("old", "new", "reading"),
    [
        (1.0, 1.0005, ""),
        (1.0, 1.05, ""),
        (1.0, 1.2, "better"),
        (1.0, 0.8, "worse"),
    ],
)
def test_a_number_moves_when_it_leaves_its_interval(old: float, new: float, reading: str) -> None:
    (row,) = rows_of({"metrics/predict.json": changed(old, new)})
    assert row.reading(1e-3) == reading
    assert row.old_ends == pytest.approx((old - 0.1, old + 0.1))


def test_without_an_interval_the_tolerance_decides() -> None:
    assert Row("f", "skill", 1.0, 1.0005).reading(1e-3) == ""
    assert Row("f", "skill", 1.0, 1.0005).reading(1e-4) == "better"
    assert Row("f", "frames", 10, 20).reading(1e-3) == "changed"
    assert Row("f", "frames", None, 20).reading(1e-3) == "new"
    assert Row("f", "frames", 10, None).reading(1e-3) == "gone"
    assert Row("f", "best", "mdn", "flow").reading(1e-3) == "changed"


def test_what_has_not_moved_is_folded_away() -> None:
    names = changed(1.0, 1.05) | changed(1.0, 1.3, "skill") | changed(2.0, 2.0, "r2")
    table = metrics_table(rows_of({"metrics/predict.json": names}), 1e-3)
    above, folded = table.split("<details>")
    assert above.startswith("**metrics/predict.json**\n\n| |")
    assert "| skill | 1.00 [0.90,\xa01.10] | 1.30 [1.20,\xa01.40] | ↑ +0.3 | better |" in above
    assert "gain" not in above
    assert "1 changed by less than" in folded
    assert "| gain | 1.00 [0.90,\xa01.10] |" in folded
    assert "r2" not in table


def test_what_left_its_interval_comes_before_what_has_none() -> None:
    names = changed(1.0, 1.3, "skill") | {"other": {"old": 1.0, "new": 2.0}}
    above, folded = metrics_table(rows_of({"metrics/a.json": names}), 1e-3).split("<details>")
    assert "skill" in above
    assert "other" not in above
    assert "1 changed by more than" in folded
    assert "| other | 1 | 2 | ↑ +1 | changed |" in folded


def test_the_headline_knows_the_intervals_of_the_detail_files() -> None:
    headline = {"metrics/a.json": {"gain": {"old": 1.0, "new": 1.05}}}
    detail = {"metrics/detail/a.json": changed(1.0, 1.05)}
    (row,) = with_intervals(headline, detail)
    assert row.new_ends == pytest.approx((0.95, 1.15))
    assert row.reading(1e-3) == ""


def test_costs_are_stages_disk_and_operations() -> None:
    """By what `dvc.lock` says of them; a stage that is as it was did not run."""
    old = {"a": {"outs": [{"size": 2e6}]}, "b": {"outs": [{"size": 1e6}]}, "c": {}}
    new = old | {"b": {"outs": [{"size": 5e6}]}, "d": {"cmd": "d"}}
    del new["c"]
    rows = [Row("f", "ours.train_flops", 1e12, 2e12), Row("f", "gain", 1.0, 2.0)]
    assert cost_table(old, new, rows).split("\n\n") == [
        "2 of 3 stages ran again: `b`, `d`.",
        "No longer there: `c`.",
        "Outputs on disk: 3 MB before, 7 MB now.",
        "`f`, `ours.train_flops`: 1e+12 before, 2e+12 now.",
    ]


def test_a_line_of_a_table_names_no_file_but_its_table_does() -> None:
    rows = [Row(path, "skill", 1.0, 2.0) for path in ("a.json", "a.json", "b.json")]
    table = metrics_table(rows, 1e-3)
    assert [table.count(f"**{path}**") for path in ("a.json", "b.json")] == [1, 1]
    assert table.index("**b.json**") > table.rindex("**a.json**")


def test_long_tables_end_before_a_comment_does() -> None:
    """With the longest of names, intervals and readings."""
    rows = []
    for k in range(500):
        name = f"test_voice.context.c{k:03d}.{'x' * 50}.skill"
        ends = (-0.0012345678, -0.00012345678)
        rows += [
            Row("f", name, -0.00087654321, -0.000123456789 + 1, ends, ends),
            Row("f", name, None, -0.00087654321, None, ends),
            Row("f", name, -0.00087654321, -0.00087654322, ends, ends),
            Row("f", name, -0.00087654321, -0.000123456789 + 1),
        ]
    table = metrics_table(rows, 1e-3)
    assert table.count("| better |") == 2 * MOST_ROWS
    assert table.count("and 430 more") == 4
    assert len(table) < 50_000


@pytest.mark.parametrize(
    ("value", "ends", "text"),
    [
        (-0.00283603, (-0.005037, -0.0005744), "−0.0028 [−0.0050,\xa0−0.0006]"),
        (4.03431, (3.909, 4.174), "4.03 [3.91,\xa04.17]"),
        (0.5, (0.5, 0.5), "0.5 [0.5,\xa00.5]"),
        (1.23456e12, (1e12, 2e12), "1.235e+12 [1e+12,\xa02e+12]"),
        (0.123456, None, "0.1235"),
        (1687, None, "1687"),
        ("flow", None, "flow"),
        (None, None, "–"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_allows(
    value: object, ends: tuple[float, float] | None, text: str
) -> None:
    assert markdown(Row("f", "x", value, None, ends), "gone") == f"| x | {text} | – | – | gone |"


def bet(place: str, old: tuple, new: tuple) -> dict[str, dict[str, float]]:
    """A verdict before and now, at its dotted key."""
    names = ("supported", "posterior", "measured", "controls_failed")
    pairs = zip(names, old, new, strict=True)
    return {f"{place}.{name}": {"old": o, "new": n} for name, o, n in pairs}


def test_bets_that_flip_are_marked() -> None:
    """And come first."""
    *told, table = bets_table(
        bet("bet1", (1, 0.96, 1, 0), (0, 0.1, 1, 0))
        | bet("bet2", (1, 0.94, 1, 0), (1, 0.94, 1, 0))
        | bet("bet3", (0.5, 0.45, 0, 0), (0.5, 0.45, 1, 0))
        | bet("bet4", (None,) * 4, (0.5, 0.25, 1, 1))
    ).split("\n\n")
    assert told == [
        "**bet1 flips** from supported to contradicted (rules of 2026-11-22).",
        "**bet3 flips** from not measured to inconclusive (rules of 2026-11-22).",
    ]
    assert table.splitlines()[2:] == [
        "| bet1 | 2026-11-22 | supported (96%) | contradicted (10%) | **flips** |",
        "| bet3 | 2026-11-22 | not measured (45%) | inconclusive (45%) | **flips** |",
        "| bet2 | 2026-11-22 | supported (94%) | supported (94%) |  |",
        "| bet4 | 2026-11-22 | – | controls failed (25%) | new |",
    ]


def test_bets_are_compared_by_rules_of_the_same_date() -> None:
    """At first there were rules of one date only, and the verdict stood at the bet itself."""
    none, yes, no = (None,) * 4, (1, 0.96, 1, 0), (0, 0.1, 1, 0)
    told, table = bets_table(
        bet("bet1", yes, no)
        | bet("bet1.rules_2026_11_22", none, yes)
        | bet("bet1.rules_2026_11_28", none, no)
    ).split("\n\n")
    assert told == "No verdict flips."
    assert table.splitlines()[2:] == [
        "| bet1 | 2026-11-28 | – | contradicted (10%) | new |",
        "| bet1 | 2026-11-22 | supported (96%) | supported (96%) |  |",
    ]


@pytest.fixture
def committed_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rules, committed in a repository of their own, which becomes the working folder."""
    monkeypatch.chdir(tmp_path)
    rules = tmp_path / RULES
    shutil.copy(ROOT / RULES, rules)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    for command in (("init", "-q"), ("add", RULES), (*identity, "commit", "-qm", "Rules")):
        subprocess.run(["git", *command], check=True)
    return rules


def test_changed_rules_stand_beside_changed_parameters(committed_rules: Path) -> None:
    """What DVC reads as a file like any other: a number, a text, and a rule that is taken away."""
    assert rules_difference("HEAD") == ({}, [])
    rules = yaml.safe_load(committed_rules.read_text(encoding="utf-8"))
    rules["bet1"]["rules"]["2026-11-22"]["supported_if"][0][0]["threshold"] = 0.01
    rules["bet3"]["claim"] = "It helps | a lot\nor not"
    del rules["bet4"]["rules"]["2026-11-22"]["supported_if"][1]
    committed_rules.write_text(yaml.safe_dump(rules), encoding="utf-8")
    changes, problems = rules_difference("HEAD")
    assert not problems
    table = params_table({"params.yaml": {"horizon": {"old": 1, "new": 8}}} | changes)
    for line in (
        "| bets.yaml | bet1.rules.2026-11-22.supported_if.0.0.threshold | 0.05 | 0.01 |",
        "| bets.yaml | bet4.rules.2026-11-22.supported_if.1.0.threshold | 1 | – |",
        "| params.yaml | horizon | 1 | 8 |",
    ):
        assert line in table.splitlines()
    assert table.count("bets.yaml") == 2 + len(("key", "end", "side", "threshold"))
    assert table.endswith("| 8 |")
    assert "| It helps \\| a lot or not |" in table


@pytest.mark.parametrize("before", [True, False])
def test_rules_may_be_in_one_commit_only(committed_rules: Path, before: bool) -> None:
    """Every one of them is new then, or gone."""
    if before:
        committed_rules.unlink()
        base = "HEAD"
    else:
        base = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git's empty tree
    changes, problems = rules_difference(base)
    assert not problems
    shown = ("0.55", "–") if before else ("–", "0.55")
    assert f"| bets.yaml | bet1.prior | {shown[0]} | {shown[1]} |" in params_table(changes)


def test_rules_that_cannot_be_read_are_named(committed_rules: Path) -> None:
    """In one line."""
    committed_rules.write_text("bet1: [", encoding="utf-8")
    changes, (problem,) = rules_difference("HEAD")
    assert not changes
    assert problem.startswith("`bets.yaml` is broken: ")
    assert "\n" not in problem


def test_two_commits_of_this_repository(tmp_path: Path) -> None:
    """The same text twice; what is known of that change is in it."""
    if subprocess.run(["git", "cat-file", "-e", AFTER], cwd=ROOT, check=False).returncode:
        pytest.skip("a clone without history")
    subprocess.run(["git", "clone", "-qs", ROOT, tmp_path / "clone"], check=True)
    subprocess.run(["git", "checkout", "-q", AFTER], cwd=tmp_path / "clone", check=True)
    (tmp_path / "clone" / RULES).write_text("bet1:\n  prior: 0.55\n", encoding="utf-8")
    script = ROOT / "tools/metrics_report.py"
    texts = [
        subprocess.run(
            [sys.executable, script, BEFORE],
            cwd=tmp_path / "clone",
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        for seed in ("1", "2")
    ]
    assert texts[0].stdout == texts[1].stdout
    titles = re.findall(r"^### (.+) against", texts[0].stdout, re.MULTILINE)
    assert titles == ["Verdicts", "Headline", "Outside their intervals", "Cost", "Settings"]
    assert "stages ran again: `" in texts[0].stdout
    assert "| gain_nats_per_dim | 0.4" in texts[0].stdout
    folds = re.compile(r"<details>.*?</details>", re.DOTALL)
    seen = folds.sub("", texts[0].stdout)
    assert "| params.yaml | predict.width | 256 | 192 |" in seen
    assert "| bets.yaml | bet1.prior | – | 0.55 |" in seen
    (unpaired,) = (text for text in folds.findall(texts[0].stdout) if "new or gone" in text)
    assert unpaired.index("| k2.gain_nats_per_dim |") < unpaired.index("| k16.gain_nats_per_dim")


def test_files_of_a_matrix_are_those_of_its_items() -> None:
    """Given there or in the settings; a stage without items has its own."""
    outs = [{"metrics/detail/${item.row}.json": {"cache": False}}, "data/x"]
    settings = {"table": {"rows": ["a", "b"]}}
    expected = ["metrics/detail/a.json", "metrics/detail/b.json"]
    for rows in ("${table.rows}", ["a", "b"]):
        assert metrics_of({"outs": outs, "matrix": {"row": rows}}, settings) == expected
    group = {"outs": [{"metrics/detail/${item}.json": {"cache": False}}]}
    assert metrics_of(group | {"foreach": "${table.rows}"}, settings) == expected
    plain = {"metrics": ["metrics/c.json"], "matrix": {"k": [1, 2]}}
    assert metrics_of(plain, settings) == ["metrics/c.json"]
