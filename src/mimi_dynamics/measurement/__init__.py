"""Latents of one's own, from a file or an array to the gain: behind `mimi_dynamics.measure`."""
