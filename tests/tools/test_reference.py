"""Reference pages: settings, headline metrics, commands and the library, from the code."""

import ast
import json
from pathlib import Path

import pytest

import reference
import reference_benchmarks
import reference_code
import reference_settings
from mimi_dynamics.pipeline.metrics import HEADLINES, headline_keys
from mimi_dynamics.results.files import FOLDER, read
from mimi_dynamics.results.row import Row
from tests.harness import ROOT

KEYS = [key for stage in HEADLINES for key in headline_keys(stage) if "_ci_" not in key]


@pytest.mark.parametrize("key", KEYS)
def test_every_number_of_the_headline_has_its_words(key: str) -> None:
    assert reference.meaning(key)


def test_the_longest_end_of_a_key_counts() -> None:
    assert reference.meaning("test_voice.dynamic_gain_nats_per_dim") != reference.meaning(
        "gain_nats_per_dim"
    )
    with pytest.raises(KeyError, match="again_nats_per_dim: has no words"):
        reference.meaning("again_nats_per_dim")


def test_the_headline_shows_numbers_with_intervals_and_what_is_not_there() -> None:
    key = "dynamic_gain_nats_per_dim"
    metrics = {"predict": {key: 0.2, f"{key}_ci_low": -0.1, f"{key}_ci_high": 0.3}}
    lines = reference.headline_table(metrics).splitlines()
    (line,) = (line for line in lines if line.startswith(f"| `predict` | `{key}`"))
    assert "| 0.2 [−0.1, 0.3] | nats per dimension |" in line
    assert "| `ingest` | `hours` | – | hours |" in "\n".join(lines)


def test_rows_of_results_show_their_weights_and_their_gains() -> None:
    table = reference.results_table()
    rows = [read(path) for path in (ROOT / FOLDER).glob("*.json")]
    for row in rows:
        if isinstance(row, Row):
            (line,) = (of for of in table.splitlines() if f"`{row.codec.weights_sha256[:8]}`" in of)
            assert line.startswith(f"| `{row.codec.name}` |")
            assert f"| {row.test.gain.nats_per_dim:.3f} [" in line


def test_comments_belong_to_what_they_stand_beside_or_above() -> None:
    text = """\
# The file as a whole.

seed: 0
# of the list,
# in two lines
sizes:
- 1
part:      # of the part
  name: a  # of the name
  free: 1
"""
    assert reference_settings.comments(text) == {
        "seed": "",
        "sizes": "of the list, in two lines",
        "part": "of the part",
        "part.name": "of the name",
        "part.free": "",
    }


def test_every_setting_is_listed_with_what_it_may_be() -> None:
    tables = reference_settings.params_tables()
    for line in (
        "| `horizon` | `1` | whole number ≥ 1 | distance of predict alone,",
        "| `compute.device` | `cpu` | one of `cpu`, `cuda` |",
        "| `ingest.splits.train` | `0.8` | number ≥ 0 and ≤ 1 |",
        "| `predict.heads` | `['gaussian', 'mdn', 'flow']` | list: one of `gaussian`, `mdn`,",
    ):
        assert line in tables


def test_help_is_that_of_the_command() -> None:
    assert "usage: mimi-dynamics" in reference_code.command_help()


def test_every_room_is_in_the_library() -> None:
    rooms = {path.parent.name for path in (ROOT / "src/mimi_dynamics").glob("*/__init__.py")}
    listed = reference_code.library_rooms()
    assert {room for room in rooms if f"## {room}" in listed} == rooms


def test_names_that_a_package_exports_are_read_and_not_imported() -> None:
    tree = ast.parse('__all__ = ["measure", "Measurement"]')
    assert reference_code.exported(tree) == {"measure", "Measurement"}
    assert reference_code.exported(ast.parse("x = 1")) == set()
    function = ast.parse("def f(a: int, *, b: str = 'x') -> None: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert reference_code.signature(function) == "f(a: int, *, b: str='x') -> None"


def test_what_a_package_exports_is_told_with_its_docstrings(tmp_path: Path) -> None:
    """From the module that it imports it from, and not from another that has the same name."""
    package = tmp_path / "tiny"
    package.mkdir()
    (package / "__init__.py").write_text(
        'from tiny.a import Found, measure\n__all__ = ["Found", "measure", "missing"]\n'
    )
    (package / "a.py").write_text(
        'def measure(x: int) -> int:\n    """Measure it."""\n'
        'class Found:\n    """What was found."""\n'
        '    def save(self) -> None:\n        """Keep it."""\n    def _own(self) -> None: ...\n'
    )
    (package / "b.py").write_text('def measure() -> None:\n    """Another."""\n')
    told = reference_code.public_interface(package)
    for text in (
        "measure(x: int) -> int\n\nMeasure it.",
        "class Found",
        "Found.save(self) -> None",
    ):
        assert text in told
    assert "Another" not in told
    assert "_own" not in told


def test_values_are_looked_up_by_dotted_keys() -> None:
    metrics = json.loads('{"a": {"b": 1}, "c": 2}')
    assert reference_settings.value_at(metrics, "a.b") == 1
    assert reference_settings.value_at(metrics, "c.d") is None


PAGE = """# Densities

## Latents of one, 75 seconds each

| density | NLL | behind ours |
|---|---|---|
| Gaussian marginal | 1.4 | 0.01 [0.0, 0.1] |
| a | 1.1 | 0.3 [0.2, 0.4] |
| b | 1.0 | 0.2 [0.1, 0.3] |
| ours, flow | 0.8 |  |

## Latents of two, 75 seconds each

| density | NLL | behind ours |
|---|---|---|
| a | 1.0 | 0.1 [0.0, 0.2] |
"""


def test_the_best_peer_is_that_of_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "density.md"
    page.write_text(PAGE)
    monkeypatch.setattr(reference_benchmarks, "DENSITY", page)
    assert reference_benchmarks.best_peer("one", 75) == ("b", "0.2 [0.1, 0.3]")
    assert reference_benchmarks.best_peer("two", 75) == ("a", "0.1 [0.0, 0.2]")
    with pytest.raises(ValueError, match="has no '## Latents of one, 300 seconds each'"):
        reference_benchmarks.best_peer("one", 300)
