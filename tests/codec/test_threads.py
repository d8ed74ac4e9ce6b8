"""Threads that share a codec do not switch torch's compiler on for each other."""

import threading

import pytest
from moshi.utils import compile as of_moshi

from mimi_dynamics.codec.threads import in_threads
from mimi_dynamics.pipeline import parallel


def test_the_compiler_stays_off_when_another_thread_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A layer of moshi switches it off while it runs, and then back to what it was before."""
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def layer(number: int) -> bool:
        if number == 1:
            first_is_in.wait(10)
        with of_moshi.no_compile():
            if number == 1:
                second_is_in.set()
                first_is_out.wait(10)
                return of_moshi._compile_disabled
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()
        return True

    before = of_moshi._compile_disabled
    assert in_threads(layer, [0, 1], "decode") == [True, True]
    assert of_moshi._compile_disabled == before
