"""Latents taken apart into an easy state and an innovation, and measured; frontiers: `evidence`."""
