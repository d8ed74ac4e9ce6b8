"""A clone of the repository with a small corpus and small models, for tests that run it whole."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

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


def stay_on_one_core() -> None:
    """Of this process, and of all that it starts."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def heed_ctrl_c() -> None:
    """Of a process to be started: where tests run in the background, it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment() -> dict[str, str]:
    """With this interpreter first on the path, as in an activated one."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path}


def run(
    clone: Path, *command: str, check: bool = True, one_core: bool = True
) -> subprocess.CompletedProcess[str]:
    """A command in the clone, in this environment.

    If `one_core`, where that can be asked for, as other tests need the rest: stages then start no
    processes of their own, which takes 150 s instead of 210 s for all.
    """
    result = subprocess.run(
        command,
        cwd=clone,
        env=environment(),
        preexec_fn=stay_on_one_core if one_core else None,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


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
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"].values()
    frozen = [stage for stage in stages if stage.get("frozen")]
    outputs = [
        out for stage in frozen for kind in ("outs", "metrics") for out in stage.get(kind, [])
    ]
    return [path for out in outputs for path in out]


def make_clone(folder: Path) -> None:
    """Copy what git would have into an empty folder, with settings for minutes; nothing is run."""
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
    write_corpus(audio)
    yaml = YAML()
    settings = yaml.load(folder / "params.yaml")
    put_over(settings, yaml.load(folder / "tests.yaml"))
    put_over(settings, OWN_CORPUS)
    settings["ingest"]["folder"]["path"] = str(audio.resolve())
    yaml.dump(settings, folder / "params.yaml")
    run(folder, "git", "init", "-q", "-b", "main")
    for key, value in {"user.name": "t", "user.email": "t@example.org"}.items():
        run(folder, "git", "config", key, value)
