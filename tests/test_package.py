"""The package that `pip install` makes holds the whole library, and needs nothing of the clone."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

import mimi_dynamics
from mimi_dynamics import cli
from tests.harness import ROOT

SRC = ROOT / "src"
LIBRARY = SRC / "mimi_dynamics"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ("requirements.lock", "requirements-dev.lock")
# What the core dependencies are for.
CORE_ROOMS = (
    *("pipeline", "latents", "own_latents", "density", "evidence", "diagnostics"),
    "measurement",
)
# The only package that one of these rooms imports without its being a core dependency: Ray is
# imported by `encode.engine = ray` and nothing else.
CORE_AND = {"ray"}
MODULES = sorted(
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")
    for path in LIBRARY.rglob("*.py")
)
# In one process, as loading torch takes longest.
IMPORT_ALL = """
import sys, time

start = time.perf_counter()
import mimi_dynamics as md
seconds = time.perf_counter() - start
assert "torch" not in sys.modules
import importlib

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in refused:
            raise ModuleNotFoundError(f"{name}: not a core dependency", name=name)

folder, refused, core, everything = sys.argv[1], *(names.split() for names in sys.argv[2:])
finder = Refuse()
sys.meta_path.insert(0, finder)
for name in core:
    importlib.import_module(name)
sys.meta_path.remove(finder)
for name in everything:
    assert importlib.import_module(name).__file__.startswith(folder), name
print(md.__version__, seconds)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed package and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    install = ["pip", "install", "--quiet", "--offline", "--no-deps", "--python", sys.executable]
    python("-m", "uv", *install, "--target", str(folder), str(wheel), cwd=folder)
    return folder


def python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """Run this Python, which sees the installed packages, and give its standard output.

    Args:
        arguments: of the interpreter.
        cwd: the folder to run in.
        path: a folder that modules are looked for in first; nothing of the clone is on the path.
    """
    environment = {"PATH": "", "HOME": str(cwd), "PYTHONPATH": str(path or "")}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def declared(*extras: str) -> set[str]:
    """Names of the packages that the core or, if given, some extras ask for."""
    groups = [PROJECT["optional-dependencies"][extra] for extra in extras]
    lines = [line for group in groups or [PROJECT["dependencies"]] for line in group]
    return {package(line) for line in lines} - {PROJECT["name"]}


def package(requirement: str) -> str:
    """The name in a requirement, as package indexes write it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def modules_of(packages: set[str]) -> set[str]:
    """Names by which installed packages are imported."""
    return {
        module
        for module, owners in packages_distributions().items()
        if packages & {package(owner) for owner in owners}
    }


def with_all_they_need(packages: set[str]) -> set[str]:
    """Packages and what they in turn ask for, other than in their extras."""
    found: set[str] = set()
    waiting = set(packages)
    while waiting:
        found |= {name := waiting.pop()}
        try:
            lines = [line for line in requires(name) or [] if "extra ==" not in line]
        except PackageNotFoundError:  # for another platform
            continue
        waiting |= {package(line) for line in lines} - found
    return found


def imported_packages(file: Path) -> Iterator[str]:
    """Names of packages other than this one and Python's own that a file imports anywhere."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != LIBRARY.name:
                yield top


def pins(lock: str) -> set[str]:
    """Lines of a lock that name a version, with their markers."""
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    return {line.removesuffix(" \\") for line in lines if re.match(r"\w", line)}


def test_one_version() -> None:
    citation = YAML(typ="safe", pure=True).load(ROOT / "CITATION.cff")
    assert citation["version"] == mimi_dynamics.__version__
    assert "version" in PROJECT["dynamic"]


def test_the_wheel_is_the_library_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    version = mimi_dynamics.__version__
    information = f"mimi_dynamics-{version}.dist-info"
    assert wheel.name == f"mimi_dynamics-{version}-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {"mimi_dynamics", information}
    library = {
        path.relative_to(SRC).as_posix()
        for path in LIBRARY.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if not name.startswith(information)} == library
    assert any(name.endswith(".html") for name in library)
    assert f"{information}/licenses/LICENSE" in names


def test_every_module_is_imported_from_another_folder(installed: Path, tmp_path: Path) -> None:
    """First the package, at once, because torch is loaded by what uses it.

    Then the rooms for measuring, while whatever only an extra brings is refused; then all others.
    """
    core = [name for name in MODULES if name.split(".")[1:2] and name.split(".")[1] in CORE_ROOMS]
    extra = declared(*PROJECT["optional-dependencies"]) - with_all_they_need(declared())
    refused = modules_of(extra)
    assert {"dvc", "moshi", "av", "pandas"} <= refused
    lists = (" ".join(names) for names in (sorted(refused), core, MODULES))
    told = python("-c", IMPORT_ALL, str(installed), *lists, cwd=tmp_path, path=installed)
    version, seconds = told.split()
    assert version == mimi_dynamics.__version__
    assert float(seconds) < 0.3


def test_imports_are_declared() -> None:
    """Those of rooms for measuring as core dependencies, all others as such or in an extra."""
    core = modules_of(declared())
    everything = core | modules_of(declared(*PROJECT["optional-dependencies"]))
    for room in CORE_ROOMS:
        for file in (LIBRARY / room).rglob("*.py"):
            # pandas is named there for types alone.
            assert {*imported_packages(file)} - {"pandas"} <= core | CORE_AND, file
    for folder in (SRC, ROOT / "tools"):
        beside = {path.stem for path in folder.glob("*.py")}
        for file in folder.rglob("*.py"):
            # Not there on every Python, or not in any lock.
            optional = {"pocketsphinx", "jiwer", "ai_edge_litert", "transformers", "pocket_tts"}
            assert {*imported_packages(file)} - optional - beside <= everything, file


def test_the_command_tells_what_it_is(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "mimi-dynamics")
    told = python(command, "--help", cwd=tmp_path, path=installed)
    assert "dvc repro" in told
    assert told == python(command, cwd=tmp_path, path=installed)
    version = python(command, "--version", cwd=tmp_path, path=installed)
    assert version.strip() == mimi_dynamics.__version__


@pytest.mark.slow
def test_the_installed_command_measures_a_file_from_another_folder(
    installed: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(size=(40, 150, 2)).astype("float32")
    np.save(tmp_path / "noise.npy", noise)
    command = str(installed / "bin" / "mimi-dynamics")
    asked = (command, "measure", "noise.npy", "--horizons", "1")
    told = python(*asked, cwd=tmp_path, path=installed)
    assert "noise.npy: 40 clips, 6,000 frames of 2 dimensions" in told
    assert "controls of the same size" in told


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--nothing"])
    assert stopped.value.code == 2
    assert "--nothing" in capsys.readouterr().err


def test_the_lock_for_development_holds_the_other() -> None:
    """So that installing one never takes away what the other needs."""
    pipeline, development = (pins(lock) for lock in LOCKS)
    assert pipeline < development
    assert declared("pipeline") | declared() <= {package(pin) for pin in pipeline}
    assert not {"pytest", "ruff", "ray", "moto"} & {package(pin) for pin in pipeline}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_every_version_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\w)", text)
    assert len(entries) == len(pins(lock))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index-url" not in text
