"""The command `mimi-dynamics`, which tells what this package is and where its pipeline runs."""

import argparse
from collections.abc import Sequence

from mimi_dynamics import __version__

DESCRIPTION = """\
mimi-dynamics asks whether the next latent of a neural speech codec can be predicted. This package
is its library: it reads latents, fits densities to them and scores what those densities predict.
"""
EPILOG = """\
The pipeline, from recorded speech to a page of results, is not part of this package. It is run
from a clone of the repository: "make install", then "source .venv/bin/activate" and "dvc repro".
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: what follows the name of the command; by default, what the shell gave.
    """
    parser = argparse.ArgumentParser(
        prog="mimi-dynamics",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help="Show this help and exit.")
    parser.add_argument(
        "--version", action="version", version=__version__, help="Show the version and exit."
    )
    parser.parse_args(arguments)
    parser.print_help()
