"""Measure a published codec, and write one row of results with its provenance.

    python tools/measure_codec.py runs/mimi mimi                       (`make mimi`)
    python tools/measure_codec.py runs/mimi mimi --weights FILE        (`make mimi WEIGHTS=FILE`)

Loads the codec first, which fetches its weights if they are not here and checks them; then runs the
stages that its row needs in a clone of this repository, so that results here stay as they are; and
last writes results/<codec>-<weights>-<clips>.json here, and shows it. Weights of one's own may be
any that fit the codec: the row says whether they are those that its makers published. A run that
was stopped goes on by the same command.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # no PYTHONPATH to remember

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import NO_SOURCE, load_params
from mimi_dynamics.results.files import save
from mimi_dynamics.results.measured import RELEASES, revision_of, row_of_run
from mimi_dynamics.results.row import as_text, weights_in_words

STAGE = "codec_row@codec"
AGAIN = "the same command goes on from there"


def check_weights(codec: str, weights: Path | None) -> str:
    """Load a codec, from the file or folder `weights` or from its home, and give its hash.

    Raises:
        InputError: the weights cannot be had or read, do not fit, or come from their home and have
            another hash than was published.
    """
    params = load_params().codec
    own = getattr(params, codec).model_copy(update={"weights": str(weights or "")})
    return load_codec(params.model_copy(update={"name": codec, codec: own})).weights_sha256


def settings_of(codec: str, weights: Path | None) -> list[str]:
    """Give the settings of a run, as DVC takes them: the codec, its weights, and what a row is of.

    Args:
        codec: a key of `RELEASES`.
        weights: a file or folder of weights; None for those that are fetched.
    """
    return [
        f"codec.name={codec}",
        f'codec.{codec}.weights="{weights or NO_SOURCE}"',
        "horizons=[1,2]",
    ]


def run_pipeline(clone: Path, settings: Sequence[str]) -> None:
    """Run, in a clone, all stages that the row needs and that are not up to date there.

    Raises:
        InputError: a stage failed.
    """
    command = [sys.executable, "-m", "dvc", "exp", "run"]
    command += [word for setting in settings for word in ("-S", setting)]
    # Stages are started as `python`, which must be this one.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    result = subprocess.run([*command, STAGE], cwd=clone, env=os.environ | {"PATH": path})
    if result.returncode:
        raise InputError(f"{clone}: the pipeline stopped, and says why above; {AGAIN}")


def commit_of(clone: Path) -> str:
    """Give the commit of a clone, 40 digits.

    Raises:
        InputError: it is no clone.
    """
    command = ["git", f"--git-dir={clone / '.git'}", "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise InputError(f"{clone}: must be a clone of this repository; `make mimi` makes one")
    return result.stdout.strip()


def measure(clone: Path, codec: str, weights: Path | None) -> None:
    """Check, encode, measure, and write the row.

    Args:
        clone: a clone of this repository.
        codec: a key of `RELEASES`.
        weights: a file or folder of weights; None for the published ones from their home.

    Raises:
        InputError: see `check_weights`, `run_pipeline`, `commit_of` and `row_of_run`.
    """
    commit = commit_of(clone)
    weights_sha256 = check_weights(codec, weights)
    revision = revision_of(codec, weights_sha256)
    print(f"{codec}: {weights_in_words(weights_sha256, revision)}", flush=True)
    run_pipeline(clone, settings_of(codec, weights))
    row = row_of_run(clone, weights_sha256, commit)
    path = save(row)
    print(f"\n{as_text(row)}\n\n{path}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clone", type=Path, help="folder of a clone of this repository")
    parser.add_argument("codec", choices=sorted(RELEASES))
    parser.add_argument("--weights", type=Path, help="in place of those that are fetched")
    options = parser.parse_args()
    weights = options.weights.expanduser().resolve() if options.weights else None
    try:
        measure(options.clone, options.codec, weights)
    except InputError as error:
        sys.exit(f"measure_codec: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"measure_codec: interrupted; {AGAIN}")


if __name__ == "__main__":
    main()
