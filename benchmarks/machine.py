"""What the machine itself can do, measured like what is compared with it; the page of results."""

import argparse
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import torch

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_text
from mimi_dynamics.pipeline.limits import available_cores
from mimi_dynamics.pipeline.parallel import one_thread_each

PAGE = Path("docs/reference/performance.md")
MATRIX_ROWS = 2048
COPIED_BYTES = 1 << 27  # beyond any cache
SECONDS = 0.4  # of each measurement


def matrix_rate(dtype: torch.dtype, cores: int | None = None) -> float:
    """Floating-point operations a second of large matrix products, one thread on every core.

    Args:
        dtype: of the matrices.
        cores: so many threads in place of one on every core.
    """
    size = MATRIX_ROWS, MATRIX_ROWS
    rates = _on_every_core(lambda: torch.randn(size).to(dtype), lambda a: torch.mm(a, a), cores)
    return 2 * MATRIX_ROWS**3 * rates


def copy_rate(cores: int | None = None) -> float:
    """Bytes a second read and written again, one thread on every core, or so many."""
    return COPIED_BYTES * _on_every_core(
        lambda: torch.zeros(2, COPIED_BYTES // 4), lambda a: a[0].copy_(a[1]), cores
    )


def page_command(doc: str, path: Path, make: Callable[[], str]) -> bool:
    """Be the command of a benchmark that makes a page: print it, and with --write keep it.

    Args:
        doc: the docstring of the benchmark, for --help.
        path: where the page is kept.
        make: gives the page, which begins with its title.

    Returns:
        Whether it was kept.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help=f"also to {path}")
    keep = bool(parser.parse_args().write)
    try:
        text = make()
    except (InputError, FileNotFoundError) as error:
        sys.exit(f"{parser.prog.removesuffix('.py')}: error: {error}")
    print(text)
    if keep:
        write_page(path, text)
    return keep


def write_page(path: Path, text: str) -> None:
    """Keep a page, which begins with its title, with the date of today below that."""
    title, rest = text.split("\n", maxsplit=1)
    write_text(path, f"{title}\n\n{measured_today()}\n{rest.rstrip()}\n")


def measured_today() -> str:
    """Say when numbers were measured."""
    return f"Measured on {date.today():%d %B %Y}.".replace(" 0", " ")


def write_section(title: str, text: str) -> None:
    """Put `text` under `title` in docs/reference/performance.md, in place of what was there."""
    text = f"{measured_today()}\n\n{text.strip()}"
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Performance\n\n"
    section = f"## {title}\n\n{text}\n\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
    page = page.replace(found[0], section) if found else f"{page.rstrip()}\n\n{section}"
    write_text(PAGE, page.rstrip() + "\n")


def _on_every_core(
    make: Callable[[], torch.Tensor],
    work: Callable[[torch.Tensor], torch.Tensor],
    cores: int | None,
) -> float:
    """How often a second `work` is done, by all threads together."""

    def rate(_: int) -> float:
        value = make()
        work(value)
        start, times = time.perf_counter(), 0
        while time.perf_counter() - start < SECONDS:
            work(value)
            times += 1
        return times / (time.perf_counter() - start)

    cores = cores or available_cores()
    with one_thread_each(), ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(rate, range(cores)))
