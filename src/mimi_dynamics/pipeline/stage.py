"""How every stage starts: it checks the settings, then works. Bad input ends in one line."""

import argparse
import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.distributed import is_main_process, process_group, requested_world_size
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import atomic_path
from mimi_dynamics.pipeline.limits import CORES_SETTING
from mimi_dynamics.pipeline.parallel import use_one_thread
from mimi_dynamics.pipeline.params import load_params

DISK_PROBLEMS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
LIMIT_PROBLEMS = {
    errno.EMFILE: "`ulimit -n` tells and changes the limit of this shell",
    errno.ENFILE: "the machine's limit is reached",
    errno.EAGAIN: f"`ulimit -u` tells how many processes may run; {CORES_SETTING}=1 starts fewest",
    errno.ENOMEM: f"{CORES_SETTING}=1 in front of the command needs least memory",
}
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
WAY_BACK = "`git restore --staged --worktree . && dvc checkout --allow-missing`"


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
                    f"WORLD_SIZE = {requested_world_size()}: must be 1 but for codec, predict and "
                    "horizon"
                )
            lock = _alone("-".join([name, *(str(value) for value in arguments[1:])]))
            together = process_group(arguments[0].compute) if shared else nullcontext()
            with lock if is_main_process() else nullcontext(), together:
                use_one_thread()
                stage(*arguments)
    except KeyboardInterrupt:
        sys.exit(
            f"{name}: interrupted; `dvc repro` starts this stage again, "
            f"{WAY_BACK} goes back to what is committed"
        )
    except Exception as error:
        line = _in_one_line(error)
        if line is None:
            raise
        sys.exit(f"{name}: error: {line}")


def _in_one_line(error: Exception) -> str | None:
    """Tell what the user or the machine has to do with an error; nothing for a mistake in code."""
    if isinstance(error, InputError):
        return str(error)
    # torch has no class of its own for memory that a CPU cannot give.
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return f"out of memory; {LIMIT_PROBLEMS[errno.ENOMEM]}"
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return f"{error}; {LIMIT_PROBLEMS[errno.EAGAIN]}"
    if isinstance(error, OSError) and error.errno in LIMIT_PROBLEMS:
        return f"{error.strerror}; {LIMIT_PROBLEMS[error.errno]}"
    if isinstance(error, OSError) and error.errno in DISK_PROBLEMS:
        return f"{error.filename or Path.cwd()}: {error.strerror}; no file was left half-written"
    return None


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

    DVC's own way to keep them, `persist`, would keep a stage out of its run cache even where
    `dvc commit --force` puts it there, so that results of earlier settings come back at once.
    """
    try:
        yield
    except BaseException:
        try:
            problems = _put_back([path for path in _committed_outputs() if not path.exists()])
        except Exception as error:  # dvc.yaml is broken, git is not installed, the disk is full
            problems = [f"committed files that DVC removed may be missing: {error}"]
        for problem in problems:
            print(problem.splitlines()[0], file=sys.stderr)
        raise


def _put_back(paths: list[Path]) -> list[str]:
    """Write files as they are in git's index; do nothing for those that are not in it.

    Returns:
        What is missing all the same, and why.

    Raises:
        OSError: git is not installed, or the disk is full.
    """
    if not paths:
        return []
    # Content is asked for, since `git checkout` locks the index, which another git may be using.
    # With its folder named, git does not mind who owns it, as it does in a container: the stage
    # that failed is code of the same owner.
    here = Path.cwd()
    top = next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), here)
    git = ["git", f"--git-dir={top / '.git'}", f"--work-tree={top}"]
    listed = _run([*git, "ls-files", "-z", "--", *map(str, paths)])
    tracked = listed.stdout.decode().split("\0")[:-1]
    problems = [f"{', '.join(map(str, paths))}: {listed.stderr.decode()}"] * bool(listed.returncode)
    for name in dict.fromkeys(tracked):
        content = _run([*git, "show", f":./{name}"])
        if content.returncode:
            problems.append(f"{name}: {content.stderr.decode()}")
        else:
            with atomic_path(Path(name)) as temporary:
                temporary.write_bytes(content.stdout)
    return [f"removed by DVC and not put back: {problem}" for problem in problems]


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, check=False)


def _committed_outputs() -> list[Path]:
    """List the outputs in git, not in DVC's cache, of the stage that DVC runs; none without DVC."""
    name, _, item = os.environ.get("DVC_STAGE", "").partition("@")
    if not name:
        return []
    stage = load_stages().get(name, {})
    outputs = [out for kind in ("metrics", "outs", "plots") for out in stage.get(kind, [])]
    return [
        Path(re.sub(r"\$\{item(\.\w+)?\}", item, path))
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
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(
                f"{path}: this file system has no locks ({error.strerror}), so nothing keeps a "
                "second run of this stage from starting",
                file=sys.stderr,
            )
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
