"""How many cores and how much memory this process may use, in a container or a batch job too.

Containers and batch systems limit a process by control groups (cgroups), which say nothing to
those who count the cores of the machine: `docker run --cpus 2` on 64 cores leaves all 64 visible.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mimi_dynamics.pipeline.errors import InputError

CORES_SETTING = "MIMI_DYNAMICS_CORES"
GIBIBYTE = 2**30
PROC = Path("/proc/self")


def available_cores() -> int:
    """Give the number of cores that this process may use.

    It is the smallest of the cores it may run on, the quota of its control groups (rounded up),
    and the environment variable `MIMI_DYNAMICS_CORES`. The results do not depend on it.

    Raises:
        InputError: `MIMI_DYNAMICS_CORES` is not a whole number above 0.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    asked = os.environ.get(CORES_SETTING, "").strip() or str(cores)
    if not (asked.isascii() and asked.isdigit() and int(asked) > 0):
        raise InputError(f"{CORES_SETTING} = {asked!r}: must be a whole number above 0")
    return max(1, math.ceil(min(cores, int(asked), _cpu_quota())))


def available_memory() -> float:
    """Give the bytes of memory that this process and its children may use together.

    It is the smaller of the machine's memory and the limit of its control groups; infinity if
    neither can be found.
    """
    try:
        machine = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        machine = math.inf
    limits = [
        _number(folder / name)
        for folder in _control_groups("memory")
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes")
    ]
    return min([machine, *limits])


def _cpu_quota() -> float:
    """Give the number of cores' worth of time that the control groups allow, or infinity."""
    quotas = [math.inf]
    for folder in _control_groups("cpu"):
        quota, _, period = _content(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
        quotas.append(
            _number(folder / "cpu.cfs_quota_us") / _number(folder / "cpu.cfs_period_us", 100_000)
        )
    return min(quotas)


def _control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the groups of this process, and of all groups above, that limit it.

    Both versions of control groups are looked at (man cgroups(7)). In a container, a path may be
    that of the host, whose folders are not visible; the root is then the group of the container.
    """
    paths: dict[str, str] = {}  # by controller, and by "" in version 2
    for line in _content(PROC / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        paths |= dict.fromkeys(controllers.split(","), path)
    for root, mount, kind, options in _mounts():
        if kind == "cgroup2":
            group = paths.get("")
        else:
            group = paths.get(controller) if controller in options else None
        if group is not None:
            below = os.path.relpath(group, root)
            folder = mount if below.startswith("..") else mount / below
            yield from (f for f in (folder, *folder.parents) if f == mount or mount in f.parents)


def _mounts() -> Iterator[tuple[str, Path, str, list[str]]]:
    """Yield the root, mount point, kind and options of every mounted hierarchy of groups."""
    for line in _content(PROC / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = [*after.split(maxsplit=2), "", "", ""][:3]
        places = [_unescaped(field) for field in before.split()[3:5]]
        if kind in ("cgroup", "cgroup2") and len(places) == 2:
            yield places[0], Path(places[1]), kind, options.split(",")


def _unescaped(field: str) -> str:
    r"""Undo the octal escapes of mountinfo, such as \040 for a space."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field)


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path, otherwise: float = math.inf) -> float:
    """Read a limit; "max", −1 and a missing file mean that there is none."""
    content = _content(path)
    return float(content) if content.isdigit() and int(content) > 0 else otherwise
