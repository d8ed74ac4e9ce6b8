"""Run independent jobs on all cores, with one thread for each job.

For small models this is faster than many threads for one job at a time. It also makes the results
the same, bit for bit, on any number of cores.
"""

import math
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.limits import (
    CORES_SETTING,
    GIBIBYTE,
    available_cores,
    available_memory,
)
from mimi_dynamics.pipeline.plain_bytes import PlainBytes

# These modules are slow to import, so they are imported once for all workers. From the second pool
# on, two workers start in 0.7 s instead of 6 s. For the first pool, the imports are made once
# instead of twice.
IMPORTED_ONCE = (
    "matplotlib.figure",
    "moshi.models",
    "nflows.transforms",
    "pandas",
    "sklearn.decomposition",
    "torch",
)

# What a worker may need, its share of data included: 0.7 GB on the default corpus.
WORKER_MEMORY = GIBIBYTE

# macOS allows 104 bytes for the path of a socket, Linux 108. The name of the socket has 33.
LONGEST_FOLDER = 104 - 1 - len("/pymp-12345678/listener-12345678")
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")

# What libraries read when they are loaded, which may be after `use_one_thread`.
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Item = TypeVar("Item")
Result = TypeVar("Result")


def use_one_thread() -> None:
    """Make this process, and all that it starts, compute on one thread.

    With one thread, sums are added in the same order on any number of cores. And two processes of
    two threads each on two cores are far slower than two of one thread (`benchmarks/threads.py`),
    because threads that wait for each other keep a core busy.
    """
    os.environ.update(dict.fromkeys(THREAD_SETTINGS, "1"))
    threadpool_limits(1)
    torch.set_num_threads(1)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Make torch use a single thread per operation inside the `with` block.

    This is for work that already runs in parallel in some other way.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], description: str
) -> list[Result]:
    """Do the same to every item in as many threads as there are cores, and show a progress bar.

    This is for work whose time goes to operations that let other threads run, as those of torch
    do, on what is too large or not able to be sent to processes, such as codecs. Each operation
    takes one thread, so that the results are the same on any number of cores.

    Args:
        work: may be called by several threads at once.
        items: what it is called with.
        description: the text of the progress bar.

    Returns:
        The results in the order of the items.
    """
    items = list(items)
    with one_thread_each(), ThreadPoolExecutor(available_cores()) as pool:
        return list(tqdm(pool.map(work, items), description, len(items), disable=None))


def run_parallel(jobs: Iterable[Callable[[], Result]], description: str) -> list[Result]:
    """Run every job in processes that have one thread each, and show a progress bar.

    Args:
        jobs: see `in_parallel`.
        description: the text of the progress bar.

    Returns:
        The results in the order of the jobs.

    Raises:
        InputError: see `in_parallel`.
    """
    jobs = list(jobs)
    with tqdm(total=len(jobs), desc=description, unit="job", disable=None) as progress:
        return list(in_parallel(jobs, description, progress.update))


def in_parallel(
    jobs: Iterable[Callable[[], Result]],
    description: str,
    finished: Callable[[], object] = lambda: None,
) -> Iterator[Result]:
    """Run every job in processes that have one thread each, and yield the results in their order.

    Args:
        jobs: partial calls of module-level functions, because other processes must be able to
            import them. Jobs start in this order, so put long ones first.
        description: what they do, by which a message names them.
        finished: is called after every job that has run, by whatever thread, when its result may
            still wait for those before it.

    Raises:
        InputError: a worker was killed, or there is no folder in which to start workers.
    """
    jobs = list(jobs)
    workers = min(_most_workers(), len(jobs))
    if workers <= 1:  # A separate process would gain nothing and take 4 s to start.
        for job in jobs:
            with one_thread_each(), torch.random.fork_rng(devices=[]):
                result = job()
            finished()
            yield result
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in IMPORTED_ONCE if name in sys.modules])
    with ProcessPoolExecutor(workers, context, initializer=_start_worker) as pool:
        sent: list[Any] = [PlainBytes(job) for job in jobs]  # each arrives as the job itself
        with _short_temporary_folder():  # in which workers start
            futures: list[Future[Any]] = [pool.submit(_run, job) for job in sent]
        for future in futures:
            future.add_done_callback(lambda done: done.cancelled() or finished())
        try:
            while futures:  # What was yielded is not kept here.
                yield futures.pop(0).result()
        except BrokenProcessPool as error:
            raise InputError(
                f"{description}: one of {workers} workers was killed, as happens where memory "
                f"runs out or a library crashes; {CORES_SETTING}={max(1, workers // 2)} in front "
                "of the command starts fewer"
            ) from error
        except BaseException:  # A job failed, or nobody wants the rest: start no more jobs.
            pool.shutdown(cancel_futures=True)
            raise


def _most_workers() -> int:
    """Give the number of workers for which there are cores, and memory beside this process."""
    memory = available_memory()
    beside = available_cores() if memory == math.inf else int(memory / WORKER_MEMORY) - 1
    return max(1, min(available_cores(), beside))


def _run(job: Callable[[], Result]) -> "PlainBytes[Result]":
    try:
        return PlainBytes(job())
    except Exception as error:
        if _can_travel(error):
            raise
        told = "".join(traceback.format_exception(error))
        raise RuntimeError(f"in a worker process:\n{told}") from None


def _can_travel(error: Exception) -> bool:
    """Tell whether an exception arrives; one that does not would look like a killed worker."""
    try:
        return isinstance(PlainBytes.round_trip(error), type(error))
    except Exception:  # whatever its own code does
        return False


@contextmanager
def _short_temporary_folder() -> Iterator[None]:
    """Let workers start where TMPDIR is long, as in batch systems.

    They are started through a socket in the temporary folder, whose path the kernel limits.

    Raises:
        InputError: there is no other folder for it.
    """
    before, folder = tempfile.tempdir, tempfile.gettempdir()
    if len(os.fsencode(folder)) > LONGEST_FOLDER:
        short = [path for path in SHORT_FOLDERS if os.access(path, os.W_OK | os.X_OK)]
        if not short:
            raise InputError(
                f"TMPDIR = {folder!r}: has {len(os.fsencode(folder))} bytes, must have at most "
                f"{LONGEST_FOLDER} where none of {', '.join(SHORT_FOLDERS)} can be written to"
            )
        tempfile.tempdir = short[0]
    try:
        yield
    finally:
        tempfile.tempdir = before


def _start_worker() -> None:
    """Prepare a worker process.

    It uses one thread. On Ctrl-C, which all processes receive, it ends without a message. It also
    ends when the process that started it ends.
    """
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent ends, since a killed stage cannot tell its workers to stop.

    Without this, they would wait for work for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
