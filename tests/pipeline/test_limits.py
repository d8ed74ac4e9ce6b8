"""Cores and memory that control groups leave, in trees of files as the kernel shows them."""

import os
from pathlib import Path

import pytest

from mimi_dynamics.pipeline import limits
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.limits import available_cores, available_memory

NONE_V1 = "9223372036854771712"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 64 cores, whose /proc/self and control groups are in a folder of the test."""
    monkeypatch.setattr(limits, "PROC", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.delenv(limits.CORES_SETTING, raising=False)
    return tmp_path


def describe(machine: Path, groups: str, mounts: str, files: dict[str, str]) -> None:
    """Write what the kernel says of groups and mounts, and the files of the groups."""
    (machine / "cgroup").write_text(groups)
    shown = str(machine).replace(" ", r"\040")
    (machine / "mountinfo").write_text(mounts.replace("MACHINE", shown))
    for name, content in files.items():
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text(content + "\n")


V2 = "31 23 0:28 / MACHINE/fs rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "23 1 0:5 / MACHINE/proc rw - proc proc rw\n"
    "32 31 0:29 / MACHINE/fs/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / MACHINE/fs/memory rw,relatime - cgroup cgroup rw,memory\n"
)
GROUPS_V1 = "4:memory:/job\n3:cpu,cpuacct:/job/step\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "cores", "memory"),
    [
        # docker run --cpus 2 --memory 1g: the group of the container is the root that it sees.
        ("0::/\n", V2, {"fs/cpu.max": "200000 100000", "fs/memory.max": "1073741824"}, 2, 2**30),
        ("0::/\n", V2, {"fs/cpu.max": "50000 100000"}, 1, None),  # half a core is one
        ("0::/\n", V2, {"fs/cpu.max": "250000 100000"}, 3, None),  # rounded up
        ("0::/\n", V2, {"fs/cpu.max": "max 100000", "fs/memory.max": "max"}, 64, None),
        # a batch job: the limit is that of a group above
        (
            "0::/slurm/job_7/step_0\n",
            V2,
            {
                "fs/slurm/job_7/step_0/cpu.max": "max 100000",
                "fs/slurm/job_7/cpu.max": "400000 100000",
                "fs/slurm/job_7/memory.max": "2147483648",
                "fs/slurm/cpu.max": "900000 100000",
            },
            4,
            2**31,
        ),
        # the first version of control groups
        (
            GROUPS_V1,
            V1,
            {
                "fs/cpu/job/step/cpu.cfs_quota_us": "-1",
                "fs/cpu/job/step/cpu.cfs_period_us": "100000",
                "fs/cpu/job/cpu.cfs_quota_us": "150000",
                "fs/cpu/job/cpu.cfs_period_us": "50000",
                "fs/memory/job/memory.limit_in_bytes": "536870912",
                "fs/memory/memory.limit_in_bytes": NONE_V1,
            },
            3,
            2**29,
        ),
        # in a container the path is that of the host, of which only the container's root is seen
        (
            "3:cpu,cpuacct:/docker/4f2a\n",
            V1,
            {"fs/cpu/cpu.cfs_quota_us": "100000", "fs/cpu/cpu.cfs_period_us": "100000"},
            1,
            None,
        ),
        (
            "3:cpu,cpuacct:/docker/4f2a\n",
            V1.replace("0:29 / ", "0:29 /docker/4f2a "),
            {"fs/cpu/cpu.cfs_quota_us": "500000", "fs/cpu/cpu.cfs_period_us": "100000"},
            5,
            None,
        ),
        ("", "", {}, 64, None),
        ("not what it\nshould be", "- \n - cgroup2\n", {"fs/cpu.max": "x"}, 64, None),
    ],
)
def test_quotas(
    machine: Path,
    groups: str,
    mounts: str,
    files: dict[str, str],
    cores: int,
    memory: float | None,
) -> None:
    describe(machine, groups, mounts, files)
    assert available_cores() == cores
    if memory is not None:
        assert available_memory() == memory
    else:
        assert available_memory() > 2**28


def test_a_mount_point_with_a_space(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = machine / "a b"
    place.mkdir()
    monkeypatch.setattr(limits, "PROC", place)
    describe(place, "0::/\n", V2, {"fs/cpu.max": "200000 100000"})
    assert available_cores() == 2


def test_without_proc(machine: Path) -> None:
    """As on macOS."""
    assert available_cores() == 64


@pytest.mark.parametrize(("asked", "cores"), [("3", 3), (" 1 ", 1), ("400", 64), ("", 64)])
def test_fewer_cores_can_be_asked_for(
    machine: Path, monkeypatch: pytest.MonkeyPatch, asked: str, cores: int
) -> None:
    monkeypatch.setenv(limits.CORES_SETTING, asked)
    assert available_cores() == cores


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", "²"])
def test_a_number_of_cores_that_is_none(
    machine: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv(limits.CORES_SETTING, asked)
    with pytest.raises(InputError, match=r"^MIMI_DYNAMICS_CORES = .*: must be a whole number"):
        available_cores()
