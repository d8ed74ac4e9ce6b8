"""Write the rows of results of the codecs that the committed metrics are of.

    python tools/record_row.py            (`make row`)

These are the codec of the run, and those beside it in the table whose makers have published them.
Reads metrics/detail/, params.yaml and the run's weights, all of which must be as they are in the
last commit. A row names the commit in which its numbers came to stand. Weights that are
in git count as published: the revision says in which file, and at which commit.
"""

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # no PYTHONPATH to remember

from mimi_dynamics.codec.base import sha256_of
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.pipeline.params import PARAMS_FILE, load_params
from mimi_dynamics.results.files import save
from mimi_dynamics.results.measured import RELEASES, row_of_run
from mimi_dynamics.results.row import Row, as_text
from mimi_dynamics.studies.codec_row.records import row_path
from mimi_dynamics.studies.codec_row.subjects import RUN

WEIGHTS = {"mimi-mini": Path("models/mimi-mini.safetensors")}  # those that are in git
READ = (detail_path("ingest"), detail_path("normalize"), Path(PARAMS_FILE))


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise InputError(f"git {arguments[0]}: {result.stderr.strip() or 'it failed'}")
    return result.stdout.strip()


def record(folder: Path) -> Path:
    """Write the row of the run, and show it.

    Args:
        folder: the top folder of the repository.

    Returns:
        The path of its file.

    Raises:
        InputError: the codec's weights are not in git, a file is not as it was committed, or the
            metrics are of other weights or settings.
    """
    name = load_params(folder / PARAMS_FILE).codec.name
    if name not in WEIGHTS:
        raise InputError(f"codec.name = {name}: its weights are not in git; see `make mimi`")
    commit = _measured(folder, RUN, WEIGHTS[name])
    weights = sha256_of(folder / WEIGHTS[name])
    if _git(folder, "diff", "--name-only", commit, "--", str(WEIGHTS[name])):
        raise InputError(f"{WEIGHTS[name]}: has changed since it was measured; run codec_row")
    revision = f"{WEIGHTS[name]}@{commit}"
    return _written(row_of_run(folder, weights, commit, revision), folder)


def record_published(folder: Path) -> list[Path]:
    """Write the rows of codecs beside that of the run, whose makers have published the weights.

    Args:
        folder: the top folder of the repository.

    Returns:
        The paths of their files.

    Raises:
        InputError: a file is not as it was committed, or a row is of other clips or settings.
    """
    rows = [name for name in RELEASES if (folder / row_path(name)).exists()]
    return [
        _written(
            row_of_run(folder, RELEASES[name].weights_sha256, _measured(folder, name), row=name),
            folder,
        )
        for name in rows
    ]


def _measured(folder: Path, row: str, *more: Path) -> str:
    """Give the commit in which a row came to stand; all that it is made of must be committed."""
    read = (row_path(row), *READ, *more)
    changed = _git(folder, "status", "--porcelain", "--", *map(str, read))
    if changed:
        raise InputError(f"not as it was committed: {changed.split()[-1]}")
    return _git(folder, "log", "-1", "--format=%H", "--", str(row_path(row)))


def _written(row: Row, folder: Path) -> Path:
    path = save(row, folder)
    print(f"{as_text(row)}\n\n{path.relative_to(folder)}\n")
    return path


def main() -> None:
    """Run the command."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    try:
        folder = Path(__file__).resolve().parents[1]
        record(folder)
        record_published(folder)
    except InputError as error:
        sys.exit(f"record_row: error: {error}")


if __name__ == "__main__":
    main()
