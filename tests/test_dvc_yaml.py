"""What `dvc.yaml` says each stage depends on is what its code imports: no more and no less."""

import ast
import re
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import bets
import figures
from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.report.page import CONTENTS
from mimi_dynamics.report.rules import BETS_FILE, load_bets
from mimi_dynamics.report.studies import OWN_ROW
from mimi_dynamics.studies.codec_row.records import row_path
from tests.harness import ROOT
from tests.harness.small_pipeline import run

SRC = ROOT / "src"
PACKAGE = SRC / "mimi_dynamics"
STAGES = load_stages(ROOT / "dvc.yaml")
# Frozen stages that `make studies` runs.
STUDIES = re.search(r"^STUDIES := (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
ROWS = "codec_row_frozen"  # so is this group, an item a codec; its script is that of `codec_row`
# It starts stages and moves their results but makes none of them; otherwise one new setting in
# `params.py` would run all of them again.
NEVER_A_DEPENDENCY = "src/mimi_dynamics/pipeline"
# Rooms as CONTRIBUTING.md lists them, the lowest first.
TABLE_OF_ROOMS = (ROOT / "CONTRIBUTING.md").read_text().split("| room |")[1].split("\n\n")[0]
ROOMS = re.findall(r"^\| `(\w+)", TABLE_OF_ROOMS, re.M)


def imported_files(file: Path) -> set[Path]:
    """Files of the package that a file imports, at its top or within a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    paths = [SRC.joinpath(*n.split(".")) for n in names if n.startswith(PACKAGE.name)]
    files = {file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py")}
    return {file for file in files if file.exists()}


def reached_files(script: Path) -> set[Path]:
    """Files of the package that a script imports, directly or by way of others."""
    reached: set[Path] = set()
    waiting = [script]
    while waiting:
        new = imported_files(waiting.pop()) - reached
        reached |= new
        waiting += new
    return reached


def room(file: Path) -> str:
    """The folder that `dvc.yaml` names for a file: a concern, or the study of one stage."""
    parts = file.relative_to(PACKAGE).parts[:-1]
    depth = 2 if parts[:1] == ("studies",) else 1
    return PACKAGE.joinpath(*parts[:depth]).relative_to(ROOT).as_posix()


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in (*STUDIES, ROWS)])
def test_code_dependencies_are_those_of_the_imports(stage: str) -> None:
    rooms = {room(file) for file in reached_files(SRC / f"{stage}.py")}
    listed = [dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")]
    expected = rooms - {NEVER_A_DEPENDENCY, "src/mimi_dynamics"} | {f"src/{stage}.py"}
    assert sorted(listed) == sorted(expected)


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_frozen_and_depends_on_its_script_and_settings_alone(study: str) -> None:
    """Its committed results stay as they are, whatever else changes."""
    stage = STAGES[study]
    assert stage["frozen"]
    assert stage["deps"] == [f"src/{study}.py"]
    assert stage["params"] == [study]
    paths = [path for out in stage["outs"] for path in out]
    assert f"metrics/detail/{study}.json" in paths
    assert all((ROOT / path).exists() for path in paths)


def test_frozen_rows_are_those_of_the_settings_and_in_git() -> None:
    """By the script of the row of the run, and on nothing else."""
    stage, settings = STAGES[ROWS], YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
    assert stage["frozen"]
    assert stage["foreach"] == "${codec_table.rows}"
    assert stage["deps"] == ["src/codec_row.py"]
    assert "params" not in stage
    assert stage["cmd"] == STAGES["codec_row"]["cmd"].replace("item.row", "item")
    made = re.search(r"^ROWS := (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert made == settings["codec_table"]["rows"]
    assert all((ROOT / row_path(row)).exists() for row in made)


def test_every_picture_and_its_table_are_those_of_the_stage_that_draws() -> None:
    """A picture that DVC does not know of stays as it is when its table changes."""
    stage = STAGES["figures"]
    drawn = {path for out in stage["outs"] for path in out}
    assert drawn == {f"plots/{name}.png" for name in figures.FIGURES}
    assert {f"plots/{name}.csv" for name in figures.FIGURES} <= {*stage["deps"]}


def test_what_the_page_tells_of_is_what_bets_read() -> None:
    """A stage of the page that is not read would be missing there without a word.

    By the row of the run's codec it is known whether a study is of this run.
    """
    stages = {"ingest", *(section.stage for section in CONTENTS)}
    assert set(bets.STAGES) == stages
    listed = {dep for dep in STAGES["bets"]["deps"] if dep.startswith("metrics/")}
    rules = [of for bet in load_bets(ROOT / BETS_FILE).bets.values() for of in bet.rules.values()]
    studies = {of.metrics for of in rules if of.study and (ROOT / detail_path(of.metrics)).exists()}
    read = {*(detail_path(name) for name in stages | studies), OWN_ROW}
    assert listed == {path.as_posix() for path in read}


def outputs(stage: dict[str, Any]) -> set[str]:
    """Paths that a stage writes; of a group, with the name of its item left open."""
    listed = [out for kind in ("outs", "metrics") for out in stage.get(kind, [])]
    return {path for out in listed for path in (out if isinstance(out, dict) else [out])}


def reads(dep: str, out: str) -> bool:
    """Whether a dependency is an output, lies in it, or is a folder that it lies in."""
    for_any_item = re.sub(r"\$\{item(\.\w+)?\}", "*", out)
    return fnmatch(dep, for_any_item) or dep.startswith(f"{out}/") or out.startswith(f"{dep}/")


def test_the_setting_horizon_moves_what_it_names_and_nothing_else() -> None:
    """Bets are judged one frame ahead, and the latents of every other stage stay where they are."""
    moved = {name for name, stage in STAGES.items() if "horizon" in stage.get("params", [])}
    assert moved == {"predict"}
    while True:
        written = {out for name in moved for out in outputs(STAGES[name])}
        new = {
            name
            for name, stage in STAGES.items()
            if any(reads(dep, out) for dep in stage["deps"] for out in written)
        }
        if new <= moved:
            break
        moved |= new
    assert moved == {"predict", "figures", "bets"}
    assert any(reads("models/horizons/k1.safetensors", out) for out in outputs(STAGES["horizon"]))


def test_only_predict_reads_the_setting_horizon() -> None:
    """Where `params.horizon` stands in code: a stage that reads it unasked would not run again."""
    readers = {
        file.relative_to(SRC).as_posix()
        for file in SRC.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "horizon"
        and ast.unparse(node.value).split(".")[-1] == "params"
    }
    assert readers == {"predict.py"}, "use NEXT_FRAME of pipeline/conventions.py elsewhere"


def test_the_lock_holds_no_stage_that_is_gone() -> None:
    """DVC leaves its entry there, and whoever reads the file would look for it."""
    locked = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert {name.partition("@")[0] for name in locked} <= {n.partition("@")[0] for n in STAGES}


def test_the_lock_has_what_stages_read_and_write_by_name() -> None:
    """A stage that has come to read or write more would run again in every clone."""
    locked = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    for name, entry in locked.items():
        stage = STAGES[name.partition("@")[0]]
        for kind, wanted in (
            ("deps", stage["deps"]),
            ("outs", [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]),
        ):
            named = {path for path in wanted if "$" not in path}
            found = {item["path"] for item in entry[kind]}
            assert stage.get("frozen") or named <= found, (name, kind, named - found)


def test_rooms_are_found_through_a_package_and_within_functions(tmp_path: Path) -> None:
    """Otherwise the test above would pass by seeing nothing."""
    script = tmp_path / "script.py"
    script.write_text(
        "from mimi_dynamics.density import heads\n\n\ndef later():\n"
        "    import mimi_dynamics.latents.store\n"
    )
    rooms = {room(file) for file in reached_files(script)}
    assert {"src/mimi_dynamics/density", "src/mimi_dynamics/latents"} <= rooms
    assert "src/mimi_dynamics/studies/calm" not in rooms


def test_few_studies_import_others() -> None:
    """A study is of one stage; what two of them need has a room of its own.

    Only CALM stands beside the factorisation, and `ranking` is about the other studies: it trains
    their generator on what they measure.
    """
    studies = PACKAGE / "studies"
    across = {
        (room(file), room(other))
        for file in studies.rglob("*.py")
        for other in imported_files(file)
        if other.is_relative_to(studies) and room(other) != room(file)
    }
    assert {(of.rsplit("/", 1)[1], other.rsplit("/", 1)[1]) for of, other in across} <= {
        ("calm", "rssm"),
        ("ranking", "calm"),
        ("ranking", "codec_row"),
    }


def test_every_room_is_in_the_table() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(ROOMS) == sorted(folders)


@pytest.mark.parametrize("below", ROOMS)
def test_no_room_imports_one_above_it(below: str) -> None:
    """Arrows between rooms go one way; pictures and the page know tables and metrics alone."""
    above = ROOMS[ROOMS.index(below) + 1 :]
    if below in ("figures", "report"):
        above.append("studies")
    for file in (PACKAGE / below).rglob("*.py"):
        for other in imported_files(file):
            assert other.relative_to(PACKAGE).parts[0] not in above, f"{file} imports {other}"


@pytest.mark.parametrize(
    ("setting", "stage", "kind"),
    [
        ("horizons=8", "horizon", "int"),
        ("horizons=null", "horizon", "NoneType"),
        ("codec_table.rows=lyra", "codec_row_frozen", "str"),
    ],
)
def test_no_list_where_dvc_makes_stages_of_one_ends_in_one_line(
    tmp_path: Path, setting: str, stage: str, kind: str
) -> None:
    """Before any stage runs, so DVC itself has to say it; the settings stay as they are."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "dvc", "init", "-q")
    run(tmp_path, "git", "add", "dvc.yaml", "params.yaml")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    run(tmp_path, "git", *identity, "commit", "-qm", "start")
    said = run(tmp_path, "dvc", "exp", "run", "-S", setting, check=False)
    assert said.returncode
    assert said.stderr.splitlines() == [
        f"ERROR: failed to resolve 'stages.{stage}.foreach' in 'dvc.yaml': "
        f"expected list/dictionary, got {kind}"
    ]
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
