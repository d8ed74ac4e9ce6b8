"""Collect decoded frames into stretches without a break, none of which is too long."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np

from mimi_dynamics.speech.decoding import AudioError, Break
from mimi_dynamics.speech.pauses import quietest
from mimi_dynamics.speech.samples import to_float, values_of

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz. The resampler's tables grow with the ratio of rates.
# What is not used on both sides of a break. After it, decoders take a while to sound right again
# (RFC 7845, 4.6, gives Opus 80 ms); before damage, the last packet may be damaged too.
BEFORE_DAMAGE_SECONDS, AFTER_BREAK_SECONDS = 0.05, 0.1


@dataclass(frozen=True)
class Limits:
    """How long the stretches of a recording may be.

    Attributes:
        max_seconds: of a stretch, or of the whole recording if it must not be cut.
        min_seconds: what a cut leaves on both sides, if `max_seconds` is twice that or more.
        cut_long: whether longer recordings are cut, in their quietest moments.
    """

    max_seconds: float
    min_seconds: float = 0.0
    cut_long: bool = False


@dataclass(frozen=True)
class Stretch:
    """A part of a recording: sound without a break, or sound that is missing.

    Attributes:
        start: in seconds from the beginning of the recording.
        seconds: how long it is.
        reason: why there is no sound, as of `Break`; '' if there is.
        channels: float32 [channels, samples], where full scale is 1; empty if there is no sound.
        rate: in Hz.
        cut: whether the recording was cut because it is long.
    """

    start: float
    seconds: float
    reason: str = ""
    channels: np.ndarray = field(default_factory=lambda: np.zeros((1, 0), np.float32))
    rate: int = 1
    cut: bool = False


def split(items: Iterable[av.AudioFrame | Break], limits: Limits) -> Iterator[Stretch]:
    """Turn frames into stretches, which follow each other in time and leave nothing out.

    At most one stretch is held in memory.

    Args:
        items: What `decode_track` gives.
        limits: How long stretches may be.

    Raises:
        AudioError: `bad_rate` or `too_long`, as soon as it is known.
    """
    splitter = _Splitter(limits)
    for item in items:
        if isinstance(item, Break):
            yield from splitter.interrupt(item)
        else:
            yield from splitter.add(item)
    yield from splitter.finish()


class _Run:
    """Frames that follow each other without a break, with their values as they were decoded."""

    def __init__(self, frame: av.AudioFrame) -> None:
        self.kind = _kind(frame)
        self.form, self.rate, _ = self.kind
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise AudioError("bad_rate")
        self.held, self.total = 0, 0  # samples that are still here, and with those that were taken
        self._frames: list[np.ndarray] = []

    def add(self, frame: av.AudioFrame) -> None:
        self._frames.append(values_of(frame))
        self.held += frame.samples
        self.total += frame.samples

    def look(self, begin: int, end: int) -> np.ndarray:
        """Give float32 [channels, samples] of a part of what is held."""
        self._frames = [np.concatenate(self._frames, axis=1)]
        return to_float(self._frames[0][:, begin:end], self.form)

    def take(self, samples: int) -> np.ndarray:
        """Give float32 [channels, samples] of the first samples, and hold them no longer."""
        taken = self.look(0, samples)
        self._frames = [self._frames[0][:, samples:].copy()]
        self.held -= samples
        return taken


def _kind(frame: av.AudioFrame) -> tuple[str, int, int]:
    # The rate is taken from the frames, since some formats give half of it in their header.
    return frame.format.name, frame.sample_rate, frame.layout.nb_channels


class _Splitter:
    """Where in the recording we are, and what of it is not yet told.

    Attributes:
        at: seconds from the beginning to the first sample of the run.
        skip: seconds of the run that are not used.
        lost: since when sound has been missing, and why; None if it is not.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.run: _Run | None = None
        self.at, self.skip, self.before = 0.0, 0.0, 0.0
        self.lost: tuple[float, str] | None = None
        self.cut = False

    def add(self, frame: av.AudioFrame) -> Iterator[Stretch]:
        if self.run is not None and _kind(frame) != self.run.kind:
            yield from self.interrupt(Break("joined", 0.0))
        self.run = run = self.run or _Run(frame)
        run.add(frame)
        longest = self.limits.max_seconds
        if not self.limits.cut_long and self.before + run.total / run.rate > longest:
            raise AudioError("too_long")
        while run.held > longest * run.rate:
            # The shorter half keeps what a clip must have.
            first = int(longest / 2 * run.rate)
            last = int((longest - self.limits.min_seconds) * run.rate)
            cut = first + quietest(run.look(first, max(first, last)), run.rate)
            self.cut = True
            yield from self._end(run, max(cut, 1), 0.0)

    def interrupt(self, what: Break) -> Iterator[Stretch]:
        if self.run is not None:
            unused = BEFORE_DAMAGE_SECONDS if what.reason == "damaged" else 0.0
            self.before += self.run.total / self.run.rate
            yield from self._end(self.run, self.run.held, unused)
            self.run = None
        self.lost = self.lost or (self.at, what.reason)
        self.at += what.seconds
        self.skip = AFTER_BREAK_SECONDS

    def finish(self) -> Iterator[Stretch]:
        if self.run is not None:
            yield from self._end(self.run, self.run.held, 0.0)
        if self.lost is not None and self.at > self.lost[0]:
            yield Stretch(self.lost[0], self.at - self.lost[0], self.lost[1])

    def _end(self, run: _Run, samples: int, unused: float) -> Iterator[Stretch]:
        """Take the first samples of the run, of which the last seconds may be of no use."""
        rate, values = run.rate, run.take(samples)
        first = min(round(self.skip * rate), samples)
        last = max(first, samples - round(unused * rate))
        begin, end = self.at + first / rate, self.at + last / rate
        if last > first:
            if self.lost is not None:
                yield Stretch(self.lost[0], begin - self.lost[0], self.lost[1])
            self.lost = (end, "damaged") if last < samples else None
            sound = values[:, first:last]
            yield Stretch(begin, end - begin, "", sound, rate, self.cut)
        elif samples and self.lost is None:
            self.lost = (self.at, "damaged")
        self.at += samples / rate
        self.skip = 0.0
