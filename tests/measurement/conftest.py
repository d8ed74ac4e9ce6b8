"""One measurement that tests share: it takes some seconds."""

import pytest

import mimi_dynamics as md
from mimi_dynamics.measurement import efforts
from mimi_dynamics.measurement.measurement import Measurement
from tests.measurement.simulated import RATE, clips_of, quick


@pytest.fixture(scope="session")
def found() -> Measurement:
    """What is found of a linear process by an effort of a moment, with 6 groups of clips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(efforts.EFFORTS, "fast", quick())
        groups = [f"voice{clip % 6}" for clip in range(60)]
        return md.measure(clips_of("linear"), groups=groups, frame_rate=RATE)
