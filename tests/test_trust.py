"""What the code never does with data: run it, unpickle it, or hand it to a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT

MODULES = sorted(
    path
    for folder in ("src", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if ".venv" not in path.parts  # which benchmarks have of their own
)
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
# Here pickles travel between processes that this program has started, and are never in a file.
MAY_PICKLE = {ROOT / "src/mimi_dynamics/pipeline/plain_bytes.py"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.save",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "pd.read_pickle",
}
ALLOWED_ARGUMENTS = {"shell": False, "allow_pickle": False, "weights_only": True}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def problems(code: str) -> list[str]:
    """What a module does that it must not."""
    tree = ast.parse(code)
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES]
    for name, call in calls(tree):
        if name in FORBIDDEN_CALLS:
            found.append(name)
        for argument in call.keywords:
            if argument.arg in ALLOWED_ARGUMENTS:
                value = argument.value
                allowed = ALLOWED_ARGUMENTS[argument.arg]
                if not (isinstance(value, ast.Constant) and value.value is allowed):
                    found.append(f"{name}({argument.arg}=...)")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_or_unpickles_data(module: Path) -> None:
    allowed = {"pickle"} if module in MAY_PICKLE else set()
    assert set(problems(module.read_text(encoding="utf-8"))) == allowed


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import subprocess\nsubprocess.run(f'ls {name}', shell=True)",
        "import os\nos.system(command)",
        "eval(text)",
        "import yaml\nyaml.load(text)",
    ],
)
def test_each_of_these_would_be_found(code: str) -> None:
    assert problems(code)
