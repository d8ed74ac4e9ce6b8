"""Where jobs run: in this process, or on a Ray cluster of one or many machines.

All machines of a cluster must see the repository at the same path, for instance on a shared file
system, and must have its Python environment. `RAY_ADDRESS` says which cluster to use. Without it,
Ray starts a cluster on this machine.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.params import Engine

Job = TypeVar("Job")
Result = TypeVar("Result")
Worker = Callable[[Sequence[Job]], Iterator[Result]]


def run_jobs(
    make_worker: Callable[[int], Worker[Job, Result]],
    jobs: Sequence[Job],
    engine: Engine,
    stage: str,
    together: int = 1,
) -> Iterator[Result]:
    """Run every job, and yield the results in the order of the jobs.

    Args:
        make_worker: is called once in each process with a number of cores. It returns a worker,
            which runs jobs on these cores and yields their results in the order of the jobs.
        jobs: the jobs. If a machine is lost, its jobs may run a second time, so to run a job
            twice must have the same effect as to run it once.
        engine: where to run the jobs: `local` or `ray`.
        stage: name of the section of settings that `engine` comes from, for error messages.
        together: how many jobs are sent to a process of the cluster at a time.

    Raises:
        InputError: a job raised it, Ray is not installed, or its cluster does not answer.
        OSError: a job raised it.
    """
    if engine == "ray":
        tasks = [jobs[start : start + together] for start in range(0, len(jobs), together)]
        yield from _run_on_ray(make_worker, tasks, stage)
    else:
        yield from make_worker(available_cores())(jobs)


def _run_on_ray(
    make_worker: Callable[[int], Worker[Job, Result]], tasks: Sequence[Sequence[Job]], stage: str
) -> Iterator[Result]:
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            f"{stage}.engine = 'ray': Ray is not installed; `pip install 'ray[data]==2.60.0'`, or "
            "set it to 'local'"
        )
    import ray

    if not tasks:
        return
    # By default Ray sends usage statistics to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ray.init(
            num_cpus=None if "RAY_ADDRESS" in os.environ else available_cores(),
            runtime_env={"env_vars": paths},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        address = os.environ.get("RAY_ADDRESS", "")
        raise InputError(f"RAY_ADDRESS = {address!r}: no Ray cluster answers there") from error
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        workers = min(len(tasks), int(ray.cluster_resources()["CPU"]))
        items = ray.data.from_items(
            [{"jobs": jobs} for jobs in tasks], override_num_blocks=len(tasks)
        )
        done = items.map(
            _Actor,  # type: ignore[arg-type]  # Ray takes classes too, and does not say so
            fn_constructor_args=(make_worker, Path.cwd()),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        for row in done.iter_rows():
            if row["error"] is not None:
                raise row["error"]
            yield from row["results"]
    finally:
        ray.shutdown()


class _Actor:
    """A process of the cluster. It has one core and its own worker."""

    def __init__(self, make_worker: Callable[[int], Worker], folder: Path) -> None:
        os.chdir(folder)
        self._worker = make_worker(1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"results": list(self._worker(row["jobs"])), "error": None}
        except (InputError, OSError) as error:  # Ray would wrap it in its own, many lines long.
            return {"results": [], "error": error}
