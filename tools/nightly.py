"""Run all tests, those that train models as other processors would, and count lines that ran.

    python tools/nightly.py [FOLDER]    (`make nightly`; logs go to FOLDER, or to runs/nightly)

Libraries choose their code by what the processor can do, and round otherwise by another code, so
that a training ends elsewhere. Environment variables make them take the code of older processors.
First come all tests, slow ones too; then those marked `trains`, once for each emulation. Each ends
in one line: its name, how many passed and failed, the minutes, and what torch and OpenBLAS took
the processor for, with a hash of a small training's weights that is another if rounding is.
Figures that tests record, such as how many intervals miss, stand below the line. The quick tests
run once more with pytest-cov, where it is in runs/coverage, and below them stands which share of
the lines of each room they ran. Last comes the site, by `make site`.
Goes on after a failure, and exits with 1 if there was any.
"""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COVERAGE_TOOLS = ROOT / "runs/coverage"  # of pytest-cov, which the locks do not hold
ROOMS = Path("src/mimi_dynamics")
PARALLEL = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")  # as `make test`
EMULATIONS = {
    "2010": {  # SSE of 128 bits, and no fused multiply-add
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
    },
    "2013": {  # AVX2, as processors without AVX-512 have it
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_CBWR": "AVX2",
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
    "threads": {"MIMI_TEST_THREADS": "2"},  # sums are split otherwise
}
PROBE = """
import hashlib, os, numpy, torch
from threadpoolctl import threadpool_info
torch.set_num_threads(int(os.environ.get("MIMI_TEST_THREADS", "1")))
torch.manual_seed(0)
frames, net = torch.randn(2000, 96), torch.nn.Sequential(
    torch.nn.Linear(96, 64), torch.nn.GELU(), torch.nn.Linear(64, 96))
optimizer = torch.optim.AdamW(net.parameters(), fused=True)
for _ in range(20):
    optimizer.zero_grad()
    (net(frames) - frames).square().mean().backward()
    optimizer.step()
blas = [of["architecture"] for of in threadpool_info() if of["internal_api"] == "openblas"]
print(torch.backends.cpu.get_cpu_capability(), *blas,
      hashlib.sha256(net[0].weight.detach().numpy().tobytes()).hexdigest()[:8])
"""


def run(name: str, folder: Path, tests: tuple[str, ...], changes: dict[str, str]) -> bool:
    """Run tests with changes of the environment, print their line, and say whether all passed.

    Args:
        name: of the emulation.
        folder: of the log and the results, which bear the name.
        tests: pytest's arguments that choose them.
        changes: of environment variables.
    """
    environment = os.environ | changes
    log, results = folder / f"{name}.log", folder / f"{name}.xml"
    results.unlink(missing_ok=True)
    probe = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False
    )
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *tests, f"--junitxml={results}"]
    with log.open("w") as output:
        code = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    minutes = (time.monotonic() - start) / 60
    passed, failed = count(results) if results.exists() else (0, 0)
    processor = probe.stdout.strip() or "probe failed"
    told = f"{name:9} {passed:5} passed {failed:3} failed {minutes:6.1f} min  {processor}"
    print(told if code == 0 else f"{told}  see {log}", flush=True)
    for figure in recorded(results) if results.exists() else ():
        print(f"{'':9} {figure}", flush=True)
    return code == 0


def count(results: Path) -> tuple[int, int]:
    """Give how many tests of a JUnit file passed, and how many failed or could not start."""
    (suite,) = ElementTree.parse(results).getroot().iter("testsuite")
    tests, skipped, *bad = (
        int(suite.get(name, "0")) for name in ("tests", "skipped", "failures", "errors")
    )
    return tests - skipped - sum(bad), sum(bad)


def recorded(results: Path) -> Iterator[str]:
    """Yield the figures that the tests of a JUnit file have recorded, each with its test."""
    for test in ElementTree.parse(results).getroot().iter("testcase"):
        for figure in test.iter("property"):
            yield f"{figure.get('name')}: {figure.get('value')}  ({test.get('name')})"


def run_for_coverage(folder: Path) -> bool:
    """Run the quick tests once more, print which share of lines they ran, and say if all passed."""
    if not COVERAGE_TOOLS.is_dir():
        print("coverage  not measured: `make nightly` installs pytest-cov in runs/coverage")
        return True
    report = folder / "coverage.json"
    report.unlink(missing_ok=True)
    paths = (str(COVERAGE_TOOLS), os.environ.get("PYTHONPATH", ""))
    changes = {
        "COVERAGE_FILE": str(folder / "coverage.data"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    options = ("--cov=src", f"--cov-report=json:{report}", *PARALLEL)
    good = run("coverage", folder, options, changes)
    if report.exists():
        print("\n".join(f"{'':9} {line}" for line in covered(json.loads(report.read_text()))))
    return good


def covered(report: dict[str, Any]) -> Iterator[str]:
    """Yield the share of lines that ran: of all, and of each room, the least first.

    Args:
        report: what coverage writes as JSON.
    """
    lines, ran = Counter[str](), Counter[str]()
    for name, of_file in report["files"].items():
        path = Path(name)
        inside = path.is_relative_to(ROOMS) and len(path.parts) > len(ROOMS.parts) + 1
        room = path.parts[len(ROOMS.parts)] if inside else "modules beside the rooms"
        lines[room] += of_file["summary"]["num_statements"]
        ran[room] += of_file["summary"]["covered_lines"]
    yield f"lines that ran: {ran.total() / lines.total():.1%} of {lines.total():,}"
    for room in sorted(lines, key=lambda name: ran[name] / max(1, lines[name])):
        yield f"{ran[room] / max(1, lines[room]):6.1%} of {lines[room]:5,}  {room}"


def build_site(folder: Path) -> bool:
    """Build the site, print a line, and say whether no link is lost."""
    log, start = folder / "site.log", time.monotonic()
    with log.open("w") as output:
        code = subprocess.run(
            ["make", "site"], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    minutes = (time.monotonic() - start) / 60
    told = f"{'site':9} {'built' if code == 0 else 'failed':>12} {minutes:17.1f} min"
    print(told if code == 0 else f"{told}  see {log}", flush=True)
    return code == 0


def main() -> None:
    """Run the command."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/nightly")
    folder.mkdir(parents=True, exist_ok=True)
    good = [run("as-it-is", folder, ("--slow", *PARALLEL), {})]
    for name, changes in EMULATIONS.items():
        good.append(run(name, folder, ("--slow", "-m", "trains", *PARALLEL), changes))
    good += [run_for_coverage(folder), build_site(folder)]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
