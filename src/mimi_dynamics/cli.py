"""The command `mimi-dynamics`: it measures latents, and tells where the pipeline runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mimi_dynamics import __version__

DESCRIPTION = """\
mimi-dynamics asks whether the next latent of a neural speech codec can be predicted.
"mimi-dynamics measure PATH" answers for latents of your own.
"""
EPILOG = """\
The pipeline, from recorded speech to a page of results, is not part of this package. It is run
from a clone of the repository: "make install", then "source .venv/bin/activate" and "dvc repro".
"""
MEASURE = """\
Measure how many nats per dimension the past tells about the latents that follow, with 95 %
intervals, beside the same of shuffled frames and of processes whose gain is known.
"""
MEASURE_EPILOG = """\
PATH is a file or a folder of .npy (frames, dim) or (clips, frames, dim), .npz, .safetensors,
Parquet, or a store of latents of Pocket TTS. Nothing is downloaded or sent.

exit codes: 0 measured; 1 the latents cannot be measured, one line says why; 2 wrong arguments;
130 stopped by Ctrl-C.

examples:
  mimi-dynamics measure latents/
  mimi-dynamics measure latents.npz --frame-rate 12.5 --html latents.html
  mimi-dynamics measure latents/ --effort standard --record --codec mimi --corpus librispeech
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
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    add_measure(commands)
    asked = parser.parse_args(arguments)
    if asked.command is None:
        parser.print_help()
        return
    try:
        from mimi_dynamics.measurement.command import run  # Loads torch, which takes seconds.
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(asked))


def add_measure(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `measure` with its arguments."""
    measure = commands.add_parser(
        "measure",
        help="Measure latents of your own.",
        description=MEASURE,
        epilog=MEASURE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = measure.add_argument
    add("path", metavar="PATH", type=Path, help="file or folder of latents")
    add(
        "--effort",
        choices=("fast", "standard", "best"),
        default="fast",
        help="fast (default): a lower bound, in a minute for an hour of speech; standard: the "
        "settings of the pipeline; best: more heads and trainings",
    )
    add("--horizons", type=int, nargs="+", metavar="K", help="how many frames ahead")
    add("--frame-rate", type=float, metavar="HZ", help="latents a second, if the files do not say")
    add("--groups", type=Path, metavar="FILE", help="JSON object: clip to voice, never split")
    add("--splits", type=Path, metavar="FILE", help="JSON object: clip to train, validation, test")
    add("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    add("--json", type=Path, metavar="FILE", help="write all numbers")
    add("--png", type=Path, metavar="FILE", help="write the picture")
    add("--html", type=Path, metavar="FILE", help="write a page with picture and tables")
    add("--record", action="store_true", help="write a row of results to ./results/")
    add("--codec", metavar="NAME", help="of --record: the name of the codec")
    add("--corpus", metavar="NAME", help="of --record: the name of the speech")
