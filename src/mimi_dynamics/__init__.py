"""Are a speech codec's latents predictable? `measure` answers for latents of one's own.

The rest is the library that the stages of the pipeline call.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mimi_dynamics.measurement.measurement import Measurement, measure
    from mimi_dynamics.pipeline.errors import InputError

__version__ = "0.1.0"
__all__ = ["InputError", "Measurement", "__version__", "measure"]
HOMES = {
    "InputError": "mimi_dynamics.pipeline.errors",
    "Measurement": "mimi_dynamics.measurement.measurement",
    "measure": "mimi_dynamics.measurement.measurement",
}


def __getattr__(name: str) -> object:
    """Import what is used when it is first used: torch alone takes seconds.

    Raises:
        AttributeError: the package has nothing of this name.
    """
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    """List what the package offers."""
    return sorted({*globals(), *HOMES})
