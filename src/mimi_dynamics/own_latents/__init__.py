"""Latents that somebody has on disk or in memory: how they are read, cut and checked."""
