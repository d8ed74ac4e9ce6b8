"""A clone of the repository with a small corpus and small models, for tests that run it whole."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from tests.harness import ROOT
from tests.harness.speechlike import write_corpus


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
    write_corpus(folder / "runs" / "my-audio")
    yaml = YAML()
    settings = yaml.load(folder / "params.yaml")
    settings["ingest"]["corpora"] = ["folder"]
    settings["ingest"]["folder"]["path"] = "runs/my-audio"
    settings["ingest"]["test_voices"] = ["cleo"]
    settings["ingest"]["splits"].update(train=0.6, validation=0.2, test=0.2)
    settings["latents"]["dim"] = 6
    settings["predict"].update(
        width=16, components=2, pretrain_epochs=1, epochs=2, var_order=2, linear_order=2
    )
    settings["predict"].update(bootstrap_samples=100, min_steps=60)
    settings["horizons"] = [1, 2]
    settings["controls"].update(frames=2000, clip_frames=40, dim=2)
    settings["structure"].update(contexts=[1], widths=[4], listen_clips=1)
    settings["reconstruct"].update(clips=1, english_clips=1, fit_clips=4, listen_clips=1)
    settings["encoders"].update(width=4)
    settings["rollout"].update(samples=2, starts=4, prompt_frames=4, listen_clips=1)
    settings["rollout"].update(listen_samples=1, listen_prompt_frames=4)
    settings["recurrence"].update(neighbours=16, epochs=1)
    settings["rssm"].update(state_dims=[3], budgets=[4.0], rec_dim=4, width=16, epochs=2)
    settings["rssm"].update(batch_frames=256, estimator_width=16)
    settings["engram"].update(cells=8, rows=16, width=8, head="gaussian", epochs=1, seeds=1)
    settings["calm"].update(layers=1, context_frames=8, head_depth=1, head_batch=2, epochs=1)
    settings["calm"].update(dynamics_width=16)
    yaml.dump(settings, folder / "params.yaml")
    run(folder, "git", "init", "-q", "-b", "main")
    for key, value in {"user.name": "t", "user.email": "t@example.org"}.items():
        run(folder, "git", "config", key, value)
