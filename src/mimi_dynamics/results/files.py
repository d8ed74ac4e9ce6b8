"""The files in `results/`, each with one row of one of two kinds."""

import json
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import read_json, write_text
from mimi_dynamics.pipeline.settings import check_settings
from mimi_dynamics.results.latents_row import KIND, LatentsRow
from mimi_dynamics.results.row import Row

FOLDER = Path("results")


def path_of(row: Row | LatentsRow) -> Path:
    """Give the path of the file of a row."""
    return FOLDER / row.file_name


def save(row: Row | LatentsRow, folder: Path = Path()) -> Path:
    """Write the file of a row, atomically, with sorted keys.

    Args:
        row: the row.
        folder: the top folder of the repository.

    Returns:
        The path of the file.
    """
    path = folder / path_of(row)
    content = row.model_dump(exclude_none=True)
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
    return path


def read(path: Path) -> Row | LatentsRow:
    """Read the file of a row, and check the whole of it.

    Raises:
        InputError: it is not readable, no row of its kind, or has the name of another row.
    """
    content = read_json(path)
    of_latents = isinstance(content, dict) and content.get("kind") == KIND
    kind: type[Row] | type[LatentsRow] = LatentsRow if of_latents else Row
    try:
        row = check_settings(content, kind)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if path.name != row.file_name:
        raise InputError(f"{path}: must be named {row.file_name}, by what it is a row of")
    return row
