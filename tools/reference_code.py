"""The pages of commands and of the library: help texts, signatures and docstrings."""

import ast
import contextlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from mimi_dynamics.cli import main as mimi_dynamics

LIBRARY = Path(__file__).resolve().parents[1] / "src/mimi_dynamics"


def help_of(command: Callable[[list[str]], None], arguments: list[str]) -> str:
    """Give what a command prints when it is asked for help, in lines of 100 characters."""
    printed = io.StringIO()
    width = patch.dict(os.environ, {"COLUMNS": "100"})
    with width, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command([*arguments, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def command_help() -> str:
    """Give the help of `mimi-dynamics` and of each of its commands."""
    text = help_of(mimi_dynamics, [])
    block = "## {}\n\n```text\n{}\n```"
    blocks = [block.format("mimi-dynamics", text)]
    names = re.search(r"\{([\w,-]+)\}", text)
    for name in names[1].split(",") if names else ():
        blocks.append(block.format(f"mimi-dynamics {name}", help_of(mimi_dynamics, [name])))
    return "\n\n".join(blocks)


def first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    """Give the first line of a docstring, with what Markdown would take for a table taken out."""
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def library_rooms() -> str:
    """List the rooms of the library with their modules, by the first lines of their docstrings."""
    blocks = []
    for room in sorted(path.parent for path in LIBRARY.rglob("__init__.py")):
        if room == LIBRARY or not (modules := sorted(room.glob("[!_]*.py"))):
            continue
        name = "/".join(room.relative_to(LIBRARY).parts)
        about = first_line(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
        lines = [f"## {name}", "", about, "", "| module | what is in it |", "|---|---|"]
        for path in modules:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            lines.append(f"| `{path.stem}` | {first_line(tree)} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def public_interface(package: Path = LIBRARY) -> str:
    """Give signature and docstring of all that the package names in `__all__`.

    Where a name comes from is read in the package's own imports, so that nothing is loaded.

    Args:
        package: its folder.
    """
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    homes = {alias.name: str(node.module) for node in imports for alias in node.names}
    blocks = []
    for name in sorted(exported(tree) & homes.keys()):
        path = package.parent.joinpath(*homes[name].split(".")).with_suffix(".py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                blocks.append(f"### {name}\n\n```text\n{definition(node)}\n```")
    return "\n\n".join(blocks)


def definition(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Write the signature and docstring of a function, or of a class and its public methods."""
    text = f"{signature(node)}\n\n{ast.get_docstring(node) or ''}"
    if isinstance(node, ast.FunctionDef):
        return text
    methods = [m for m in node.body if isinstance(m, ast.FunctionDef) and m.name[0] != "_"]
    return "\n\n".join([text, *(f"{node.name}.{definition(method)}" for method in methods)])


def exported(tree: ast.Module) -> set[str]:
    """Give the names in `__all__` of a module."""
    for node in tree.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            return set(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return set()


def signature(node: ast.FunctionDef | ast.ClassDef) -> str:
    """Write how a function is called, or name a class."""
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"
