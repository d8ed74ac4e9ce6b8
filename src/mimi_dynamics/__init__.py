"""The library that the stages call. They ask whether a speech codec's latents are predictable."""
