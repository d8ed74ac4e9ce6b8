"""What has to be seen to where several threads share a codec."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from moshi.utils.compile import no_compile

from mimi_dynamics.pipeline.parallel import run_in_threads

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item], description: str
) -> list[Result]:
    """Do the same to every item with a codec, in as many threads as there are cores.

    On a CPU, moshi switches torch's compiler off by a global flag, which threads reset for each
    other. In one start of seven, part of a batch was compiled, and its last bits differed.

    Args:
        work: see `pipeline.parallel.run_in_threads`, as of the other arguments.
        items: what it is called with.
        description: the text of the progress bar.
    """
    with no_compile():
        return run_in_threads(work, items, description)
