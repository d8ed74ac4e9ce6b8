"""How many copies of recordings are found by their sound, and how often readings are mistaken.

Every recording of a folder gets one copy, changed in one way, and all are grouped together. So no
copy is found by way of another. For two microphones, the recording itself is changed as well.

    PYTHONPATH=src .venv/bin/python benchmarks/duplicates.py FOLDER NAME [--half 2] [--rounds 2]

`--half` keeps the prompts of one half (by a hash of the file name up to its last underscore, which
a number of the take may follow), as the thresholds were chosen on half 1. NAME is the title of the
section that --write keeps in docs/explanation/duplicates.md. A minute or two a round and hour, on
one core.
"""

import argparse
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from scipy.signal import correlate
from scipy.stats import binomtest
from tqdm import tqdm

import machine
from copies import KINDS, microphone
from mimi_dynamics.speech.audio import SAMPLE_RATE, SILENCE_PEAK, read_audio
from mimi_dynamics.speech.decoding import AudioError
from mimi_dynamics.speech.duplicates import group_performances
from mimi_dynamics.speech.fingerprints import Fingerprint, fingerprint

SUFFIXES = {".flac", ".g722", ".mp3", ".ogg", ".opus", ".wav"}
TRUE_DB = -6.0  # below this residual, two recordings are filtered copies of each other
TAPS = 64


def main() -> None:
    """Measure and print, and with --write keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("--half", type=int, choices=[0, 1, 2], default=0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=10**9)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    paths = [
        p for p in sorted(args.folder.rglob("*")) if p.suffix in SUFFIXES and _in(p, args.half)
    ]
    names, sounds = _read(paths[: args.limit], args.folder)
    hours = sum(map(len, sounds)) / SAMPLE_RATE / 3600
    start = time.process_time()
    prints = [fingerprint(sound) for sound in tqdm(sounds, "fingerprints", disable=None)]
    middle = time.process_time()
    groups = group_performances(prints)
    end = time.process_time()
    performances, lines = _true_groups(groups, names, sounds)
    text = [
        f"{len(names):,} recordings, {hours:.2f} hours. An hour took one core "
        f"{(middle - start) / hours:.1f} s for fingerprints and {(end - middle) / hours:.1f} s for "
        "groups.",
        "",
        *lines,
        "",
        *_table(sounds, prints, performances, args.rounds),
    ]
    program = "PYTHONPATH=src .venv/bin/python benchmarks/duplicates.py"
    command = f'{program} FOLDER "{args.name}" --half {args.half}'
    text = ["```sh", f"{command} --rounds {args.rounds} --limit {args.limit}", "```", "", *text]
    print("\n".join(text))
    if args.write:
        machine.PAGE = Path("docs/explanation/duplicates.md")
        machine.write_section(args.name, "\n".join(text))


def _in(path: Path, half: int) -> bool:
    stem = path.stem.rsplit("_", 1)[0]
    return not half or sha256(stem.encode()).digest()[0] % 2 == half - 1


def _read(paths: list[Path], folder: Path) -> tuple[list[str], list[np.ndarray]]:
    names, sounds = [], []
    for path in tqdm(paths, "reading", disable=None):
        try:
            sound = read_audio(path, 120.0, "g722" if path.suffix == ".g722" else "")
        except AudioError:
            continue
        if len(sound) >= SAMPLE_RATE and np.abs(sound).max() >= SILENCE_PEAK:
            names.append(path.relative_to(folder).as_posix())
            sounds.append(sound)
    return names, sounds


def _true_groups(
    groups: np.ndarray, names: list[str], sounds: list[np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    """Which recordings are one performance already, as the samples tell, and lines that say so."""
    performances = np.arange(len(groups))
    true: list[str] = []
    doubtful: list[str] = []
    for index in np.flatnonzero(groups != np.arange(len(groups))):
        members = [m for m in np.flatnonzero(groups == groups[index]) if m != index]
        residuals = [residual(sounds[index], sounds[member]) for member in members]
        best = int(np.argmin(residuals))
        line = f"{names[index]} = {names[members[best]]} ({residuals[best]:.0f} dB)"
        (true if residuals[best] <= TRUE_DB else doubtful).append(line)
        # All of them, as the nearest of each of five may leave out the fifth.
        for member, left in zip(members, residuals, strict=True):
            if left <= TRUE_DB:
                performances[performances == performances[index]] = performances[member]
    tqdm.write("\n".join(["true:", *true, "doubtful:", *doubtful]))
    share = _share(2 * len(doubtful), len(groups))  # both of a pair
    return performances, [
        f"Without planted copies, {len(true)} recordings were grouped with one that their samples "
        f"show to be the same (residual ≤ {TRUE_DB:.0f} dB). Grouped wrongly, as far as samples "
        f"tell, were {share}.",
        *([f"These: {'; '.join(doubtful)}."] if doubtful else []),
    ]


def residual(one: np.ndarray, other: np.ndarray) -> float:
    """What a filter of 64 taps leaves of the second of one that is most like the other, in dB.

    The filter is fitted on the other recording, at the offset of best correlation.
    """
    one, other = one.astype(np.float64), other.astype(np.float64)
    second = min(SAMPLE_RATE, len(one), len(other) - TAPS)
    seconds = [one[start : start + second] for start in range(0, len(one) - second + 1, 12_000)]
    loudest = max(float(np.mean(part**2)) for part in seconds)
    padded = np.pad(other, TAPS)
    best = 0.0
    for wanted in (part for part in seconds if np.mean(part**2) > loudest / 10):
        place = int(np.abs(correlate(other, wanted, "valid", method="fft")).argmax()) + TAPS // 2
        shifted = np.stack([padded[place + tap :][:second] for tap in range(TAPS)], axis=1)
        left = wanted - shifted @ np.linalg.solve(
            shifted.T @ shifted + 1e-9 * np.eye(TAPS), shifted.T @ wanted
        )
        best = min(best, float(10 * np.log10(np.mean(left**2) / np.mean(wanted**2))))
    return best


def _table(
    sounds: list[np.ndarray], prints: list[Fingerprint], performances: np.ndarray, rounds: int
) -> list[str]:
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    mistaken: dict[str, list[bool]] = {kind: [] for kind in ["not planted", *KINDS]}
    for number in range(rounds):
        rng = np.random.default_rng(number)
        kinds = [list(KINDS)[(index + number) % len(KINDS)] for index in range(len(sounds))]
        kinds = [
            "leading silence"
            if kind == "part of a longer prompt" and len(sound) < 2 * SAMPLE_RATE
            else kind
            for kind, sound in zip(kinds, sounds, strict=True)
        ]
        firsts, copies = list(prints), []
        for index, (sound, kind) in enumerate(zip(sounds, kinds, strict=True)):
            if kind == "two microphones":
                firsts[index] = fingerprint(microphone(sound, rng))
            copies.append(fingerprint(KINDS[kind](sound, rng)))
        groups = group_performances([*firsts, *copies])
        whose = np.concatenate([performances, performances])
        for index, kind in enumerate(["not planted"] * len(sounds) + kinds):
            mistaken[kind].append(bool((whose[groups == groups[index]] != whose[index]).any()))
        _tell(kinds, groups, whose, [len(sound) / SAMPLE_RATE for sound in sounds])
        for index, kind in enumerate(kinds):
            found[kind].append(bool(groups[index] == groups[len(sounds) + index]))
    lines = ["| copy | found | with another performance |", "|---|---|---|"]
    for kind, false in mistaken.items():
        hits = _share(sum(found[kind]), len(found[kind])) if kind in found else "–"
        lines.append(f"| {kind} | {hits} | {_share(sum(false), len(false))} |")
    every = [flag for flags in mistaken.values() for flag in flags]
    return [*lines, f"| all | | {_share(sum(every), len(every))} |"]


def _tell(kinds: list[str], groups: np.ndarray, whose: np.ndarray, seconds: list[float]) -> None:
    """Say which copies were missed and which recordings were mistaken, as they are numbered."""
    for index, kind in enumerate(kinds):
        if groups[index] != groups[len(kinds) + index]:
            tqdm.write(f"missed: {kind}, recording {index} of {seconds[index]:.1f} s")
    for index, group in enumerate(groups):
        if whose[group] != whose[index]:
            of = [number % len(kinds) for number in (index, group)]
            tqdm.write(f"mistaken: {of}, {[kinds[number] for number in of]}, {index, int(group)}")


def _share(count: int, of: int) -> str:
    if not of:
        return "–"
    low, high = binomtest(count, of).proportion_ci(method="wilson")
    return f"{count:,} of {of:,}: {count / of:.2%} ({low:.2%} to {high:.2%})"


if __name__ == "__main__":
    main()
