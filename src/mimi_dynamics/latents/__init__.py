"""The Parquet contract of latents and states, and sequences of them to train on; no model."""
