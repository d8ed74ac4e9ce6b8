"""Write the row of results of the codec that the committed metrics are of.

    python tools/record_row.py            (`make row`)

Reads metrics/detail/, params.yaml and the codec's weights, all of which must be as they are in the
last commit. The row names the commit in which its numbers came to stand. Weights that are
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
from mimi_dynamics.results.measured import row_of_run
from mimi_dynamics.results.row import as_text
from mimi_dynamics.studies.codec_row.records import row_path
from mimi_dynamics.studies.codec_row.subjects import RUN

WEIGHTS = {"mimi-mini": Path("models/mimi-mini.safetensors")}  # those that are in git
READ = (row_path(RUN), detail_path("ingest"), detail_path("normalize"), Path(PARAMS_FILE))


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise InputError(f"git {arguments[0]}: {result.stderr.strip() or 'it failed'}")
    return result.stdout.strip()


def record(folder: Path) -> Path:
    """Write the row, and show it.

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
    changed = _git(folder, "status", "--porcelain", "--", *map(str, (*READ, WEIGHTS[name])))
    if changed:
        raise InputError(f"not as it was committed: {changed.split()[-1]}")
    commit = _git(folder, "log", "-1", "--format=%H", "--", str(row_path(RUN)))
    weights = sha256_of(folder / WEIGHTS[name])
    if _git(folder, "diff", "--name-only", commit, "--", str(WEIGHTS[name])):
        raise InputError(f"{WEIGHTS[name]}: has changed since it was measured; run codec_row")
    revision = f"{WEIGHTS[name]}@{commit}"
    row = row_of_run(folder, weights, commit, revision)
    path = save(row, folder)
    print(f"{as_text(row)}\n\n{path.relative_to(folder)}")
    return path


def main() -> None:
    """Run the command."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    try:
        record(Path(__file__).resolve().parents[1])
    except InputError as error:
        sys.exit(f"record_row: error: {error}")


if __name__ == "__main__":
    main()
