"""The command `mimi-dynamics measure`: the call of the same name, from a shell."""

import argparse
import re
import sys
from pathlib import Path

from mimi_dynamics.measurement.measurement import Measurement, measure
from mimi_dynamics.measurement.recording import row_of
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import read_json
from mimi_dynamics.report.closing import say
from mimi_dynamics.results.files import save
from mimi_dynamics.results.latents_row import SLUG

FAILED, STOPPED = 1, 130  # exit codes; that of a wrong argument is argparse's, 2
SUFFIXES = {"json": ".json", "png": ".png", "html": ".html"}


def run(asked: argparse.Namespace) -> int:
    """Measure what was asked for, print the table, and write what was asked for.

    Returns:
        The exit code: 0, or 1 after one line on standard error, or 130 after Ctrl-C.
    """
    try:
        check_outputs(asked)
        found = measure(
            asked.path,
            groups=names_in(asked.groups),
            splits=names_in(asked.splits),
            frame_rate=asked.frame_rate,
            horizons=asked.horizons,
            effort=asked.effort,
            seed=asked.seed,
        )
        say(str(found))
        write(found, asked)
    except InputError as error:
        print(f"mimi-dynamics: {error}", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"mimi-dynamics: {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nmimi-dynamics: stopped", file=sys.stderr)
        return STOPPED
    return 0


def check_outputs(asked: argparse.Namespace) -> None:
    """Check, before minutes of work, what is to be written afterwards.

    Raises:
        InputError: a path cannot be written, or a row has no name of codec or corpus.
    """
    for kind, suffix in SUFFIXES.items():
        path = getattr(asked, kind)
        if path is not None and (path.is_dir() or path.suffix != suffix):
            raise InputError(f"--{kind} {path}: must be a file that ends in {suffix}")
        if path is not None and any(above.is_file() for above in path.absolute().parents):
            raise InputError(f"--{kind} {path}: must not be within a file")
    if asked.record and not (asked.codec and asked.corpus):
        raise InputError("--record: must be given --codec and --corpus, by which others know them")
    if asked.record and not re.fullmatch(SLUG, asked.codec):
        raise InputError(f"--codec {asked.codec}: must be of letters, digits, dots and dashes")


def names_in(path: Path | None) -> dict[str, str] | None:
    """Read a JSON object from names of clips to groups or splits.

    Raises:
        InputError: it is not readable, or no such object.
    """
    if path is None:
        return None
    names = read_json(path)
    if not isinstance(names, dict):
        raise InputError(f'{path}: must be a JSON object such as {{"clip name": "group"}}')
    return names


def write(found: Measurement, asked: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    for kind, save_as in (
        ("json", found.save_json),
        ("png", found.save_png),
        ("html", found.save_html),
    ):
        path = getattr(asked, kind)
        if path is not None:
            save_as(path)
            say(f"written: {path}")
    if asked.record:
        path = save(row_of(found.to_dict(), asked.codec, asked.corpus))
        say(f"written: {path}; CONTRIBUTING.md of the repository says how to send it")
