"""How every stage starts: it checks the settings, then works. Bad input ends in one line."""

import argparse
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from ruamel.yaml import YAML

from mimi_dynamics.pipeline.distributed import is_main_process, process_group, requested_world_size
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import load_params

DISK_PROBLEMS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def run_stage(stage: Callable[..., None], *, shared: bool = False, **item: type) -> None:
    """Run `stage` with the checked settings of `params.yaml`.

    The option `--help` prints the docstring of the module in which `stage` is defined.

    Args:
        stage: is called with the settings, and with the value of the item if there is one.
        shared: whether `torchrun` may start several processes of this stage. They then train
            together, and only the first of them may write files.
        item: name and type of the command's argument, for a stage that DVC runs once per item.

    Exits with status 1 and one line on standard error if anything raises `InputError`, or if the
    disk is full or not writable. Outputs of the stage that are in git are then as they were before.
    """
    name = stage.__name__
    try:
        with _interrupts_told(), _committed_kept():
            arguments = _arguments(stage, item)
            if requested_world_size() > 1 and not shared:
                raise InputError(
                    f"WORLD_SIZE = {requested_world_size()}: must be 1 but for predict and horizon"
                )
            lock = _alone("-".join([name, *(str(value) for value in arguments[1:])]))
            together = process_group(arguments[0].compute) if shared else nullcontext()
            with lock if is_main_process() else nullcontext(), together:
                stage(*arguments)
    except InputError as error:
        sys.exit(f"{name}: error: {error}")
    except OSError as error:
        if error.errno not in DISK_PROBLEMS:
            raise
        where = error.filename or Path.cwd()
        sys.exit(f"{name}: error: {where}: {error.strerror}; no file was left half-written")
    except KeyboardInterrupt:
        sys.exit(
            f"{name}: interrupted; `dvc repro` starts this stage again, "
            "`git checkout . && dvc checkout` goes back to what is committed"
        )


@contextmanager
def _interrupts_told() -> Iterator[None]:
    """Make Ctrl-C end in `KeyboardInterrupt`, even where safetensors turns it into a ValueError."""
    told = False

    def tell(_: int, __: FrameType | None) -> None:
        nonlocal told
        told = True
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # It is another handler if Ctrl-C is to be ignored.
        signal.signal(signal.SIGINT, tell)
    try:
        yield
    except Exception as error:
        if told:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _committed_kept() -> Iterator[None]:
    """Put back the outputs that are in git if a stage fails, since DVC removes them at its start.

    DVC's own way to keep them, `persist`, would switch off its run cache, which restores the
    results of earlier settings without running the stage again.
    """
    try:
        yield
    except BaseException:
        git = shutil.which("git")
        for path in _committed_outputs():
            if git and not path.exists():
                command = [git, "checkout", "-q", "--", path]
                subprocess.run(command, capture_output=True, check=False)
        raise


def _committed_outputs() -> list[Path]:
    """List the outputs in git, not in DVC's cache, of the stage that DVC runs; none without DVC."""
    name = os.environ.get("DVC_STAGE", "").partition("@")[0]
    if not name:
        return []
    stage = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"].get(name, {})
    outputs = [out for kind in ("metrics", "outs", "plots") for out in stage.get(kind, [])]
    return [
        Path(path)
        for out in outputs
        if isinstance(out, dict)
        for path, flags in out.items()
        if flags.get("cache") is False
    ]


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Allow only one run of a stage at a time.

    If `dvc` is killed, its stage goes on, and the next `dvc repro` would start a second one.

    Raises:
        InputError: another run of this stage is at work.
    """
    path = Path("runs") / f"{name}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{path}: another run of this stage is at work here; wait for it, or stop it"
            ) from error
        yield


def _arguments(stage: Callable[..., None], item: dict[str, type]) -> list[Any]:
    parser = argparse.ArgumentParser(
        prog=f"python src/{stage.__name__}.py",
        description=sys.modules[stage.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Settings are read from params.yaml; there are no options.",
    )
    for argument, kind in item.items():
        parser.add_argument(argument, type=kind)
    values = vars(parser.parse_args())
    return [load_params(), *values.values()]
