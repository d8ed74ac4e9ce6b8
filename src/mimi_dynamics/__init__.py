"""The library that the stages call. They ask whether a speech codec's latents are predictable."""

__version__ = "0.1.0"
