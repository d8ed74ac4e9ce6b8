"""Encode clips in shards that survive a killed run. `latents` says how latents are stored."""
