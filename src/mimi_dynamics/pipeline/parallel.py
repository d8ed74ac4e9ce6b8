"""Independent jobs on all cores, one thread each: faster than shared threads for small models.

One thread a job also makes results the same bits whatever the number of cores.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from tqdm import tqdm

# Slow to import: once for all workers. Two workers then start in 0.7 s instead of 6 s, from the
# second pool on; in the first, the imports are made once instead of twice.
IMPORTED_ONCE = (
    "matplotlib.figure",
    "moshi.models",
    "nflows.transforms",
    "pandas",
    "sklearn.decomposition",
    "torch",
)

Result = TypeVar("Result")


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Within, an operation of torch uses one thread: for work that is parallel by itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_parallel(jobs: Iterable[Callable[[], Result]], description: str) -> list[Result]:
    """Run every job in processes of one thread each, with a progress bar.

    Args:
        jobs: partial calls of module-level functions, which other processes can import; the first
            are started first, so put the long ones there.
        description: what the progress bar says.

    Returns:
        The results in the order of the jobs.
    """
    jobs = list(jobs)
    workers = min(available_cores(), len(jobs))
    if workers == 1:  # a process of its own would only cost its start, 4 s
        with one_thread_each(), torch.random.fork_rng(devices=[]):
            return [job() for job in tqdm(jobs, description, unit="job", disable=None)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in IMPORTED_ONCE if name in sys.modules])
    with ProcessPoolExecutor(
        max_workers=workers,
        mp_context=context,
        initializer=_start_worker,
    ) as pool:
        futures = [pool.submit(job) for job in jobs]
        with tqdm(total=len(jobs), desc=description, unit="job", disable=None) as progress:
            for future in futures:
                future.add_done_callback(lambda _: progress.update())
            try:
                return [future.result() for future in futures]
            except BaseException:  # of a job that failed, or Ctrl-C: no more are started
                pool.shutdown(cancel_futures=True)
                raise


def _start_worker() -> None:
    """One thread; gone without a word on Ctrl-C, which goes to all, and with whoever started it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A stage that is killed cannot tell its workers: they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
