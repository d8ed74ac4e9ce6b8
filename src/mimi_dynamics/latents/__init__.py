"""How latents and states are stored as Parquet and become sequences to train on. No models."""
