"""Where jobs run: in this process, or on a Ray cluster of this machine or many.

On a cluster, all machines see the repository at the same path, as on a shared file system, and have
its environment. `RAY_ADDRESS` says which cluster; without it, Ray starts one on this machine.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from mimi_dynamics.errors import InputError
from mimi_dynamics.parallel import available_cores

Engine = Literal["local", "ray"]
Job = TypeVar("Job")
Result = TypeVar("Result")
Worker = Callable[[Job], Result]


def run_jobs(
    make_worker: Callable[[int], Worker], jobs: Sequence[Job], engine: Engine
) -> Iterator[Result]:
    """Run every job, and give results as they come: in the order of the jobs only if `local`.

    Args:
        make_worker: makes what does a job, for a number of cores; called once in each process.
        jobs: may run twice where a machine is lost, so each must leave the same behind as once.
        engine: where.

    Raises:
        InputError: of a job; or Ray is not installed, or its cluster not there.
    """
    if engine == "ray":
        yield from _run_on_ray(make_worker, jobs)
    else:
        yield from map(make_worker(available_cores()), jobs)


def _run_on_ray(make_worker: Callable[[int], Worker], jobs: Sequence[Job]) -> Iterator[Result]:
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            "encode.engine = 'ray': Ray is not installed; `pip install 'ray[data]==2.60.0'`, or "
            "set it to 'local'"
        )
    import ray

    if not jobs:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report home
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ray.init(runtime_env={"env_vars": paths}, log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        address = os.environ.get("RAY_ADDRESS", "")
        raise InputError(f"RAY_ADDRESS = {address!r}: no Ray cluster answers there") from error
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        workers = min(len(jobs), int(ray.cluster_resources()["CPU"]))
        items = ray.data.from_items([{"job": job} for job in jobs], override_num_blocks=len(jobs))
        results = items.map(
            _Actor,
            fn_constructor_args=(make_worker, Path.cwd()),
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        for row in results.iter_rows():
            if row["error"]:
                raise InputError(row["error"])
            yield row["result"]
    finally:
        ray.shutdown()


class _Actor:
    """A process of the cluster, with one core and a worker of its own."""

    def __init__(self, make_worker: Callable[[int], Worker], folder: Path) -> None:
        os.chdir(folder)
        self._worker = make_worker(1)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": self._worker(row["job"]), "error": ""}
        except InputError as error:  # any other would be one of Ray's, over many lines
            return {"result": None, "error": str(error)}
