"""A clone of the repository with a small corpus and small models, for tests that run it whole."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.limits import CORES_SETTING
from tests.harness import ROOT
from tests.harness.speechlike import write_corpus

OWN_CORPUS = {
    "ingest": {
        "corpora": ["folder"],
        "folder": {"path": "my-audio"},
        "test_voices": ["cleo"],
        "splits": {"train": 0.6, "validation": 0.2, "test": 0.2},
    }
}


# Below what stock machines allow: 1,024 open files is the default of Linux, 256 that of macOS. The
# shared memory is what Docker gives to a container.
MOST_FILES = 256
SHARED_MEMORY = "64m"
SMALL_SHARED_MEMORY = (
    "unshare",
    "--mount",
    "--map-root-user",
    "sh",
    "-c",
    f'mount -t tmpfs -o size={SHARED_MEMORY} tmpfs /dev/shm && exec "$@"',
    "sh",
)


def stay_on_one_core() -> None:
    """Of this process, and of all that it starts."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def open_few_files() -> None:
    """Of this process, and of all that it starts."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES, MOST_FILES))


@cache
def with_small_shared_memory() -> tuple[str, ...]:
    """Give what to put in front of a command, or nothing where this user may not ask for it."""
    try:
        subprocess.run([*SMALL_SHARED_MEMORY, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return SMALL_SHARED_MEMORY


def heed_ctrl_c() -> None:
    """Of a process to be started: where tests run in the background, it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment() -> dict[str, str]:
    """With this interpreter first on the path, as in an activated one, and no limit of cores."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, CORES_SETTING: ""}


def run(
    clone: Path,
    *command: str,
    check: bool = True,
    prepare: Callable[[], None] | None = stay_on_one_core,
) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone, in this environment.

    Args:
        clone: the folder.
        command: the command and its arguments.
        check: whether it must succeed.
        prepare: what the new process does first. By default it stays on one core, because other
            tests need the rest; stages then start no processes of their own.
    """
    result = subprocess.run(
        command,
        cwd=clone,
        env=environment(),
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


def run_on_a_stock_machine(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on all cores, with few open files and little shared memory."""
    return run(clone, *with_small_shared_memory(), *command, prepare=open_few_files)


def put_over(settings: dict[str, Any], partial: dict[str, Any]) -> None:
    """Set what a partial file of settings has, and leave all others as they are.

    Raises:
        KeyError: it has a setting that is not there.
    """
    for key, value in partial.items():
        if isinstance(settings[key], dict):
            put_over(settings[key], value)
        else:
            settings[key] = value


def frozen_outputs() -> list[str]:
    """Give the paths of what frozen stages have written; all of it is in git."""
    rows = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["codec_table"]["rows"]
    stages = load_stages(ROOT / "dvc.yaml").values()
    frozen = [stage for stage in stages if stage.get("frozen")]
    outputs = [
        out for stage in frozen for kind in ("outs", "metrics") for out in stage.get(kind, [])
    ]
    paths = [path for out in outputs for path in out]
    return list(dict.fromkeys(path.replace("${item}", row) for path in paths for row in rows))


def make_clone(folder: Path, clips_per_voice: int = 30) -> None:
    """Copy what git would have into an empty folder, with settings for minutes; nothing is run.

    Args:
        folder: the empty folder.
        clips_per_voice: clips of each of the three voices.
    """
    tracked = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file() and not name.startswith(("tests/", "plots/", "metrics/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for name in frozen_outputs():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    # Beside the clone, as DVC sees nothing in runs/, and by a path that holds in other clones too.
    audio = folder.with_name(f"{folder.name}-audio")
    write_corpus(audio, clips_per_voice)
    yaml = YAML()
    settings = yaml.load(folder / "params.yaml")
    put_over(settings, yaml.load(folder / "tests.yaml"))
    put_over(settings, OWN_CORPUS)
    settings["ingest"]["folder"]["path"] = str(audio.resolve())
    yaml.dump(settings, folder / "params.yaml")
    run(folder, "git", "init", "-q", "-b", "main")
    for key, value in {"user.name": "t", "user.email": "t@example.org"}.items():
        run(folder, "git", "config", key, value)
