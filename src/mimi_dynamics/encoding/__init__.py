"""Clips through a codec, in shards that survive a kill; not how latents are stored or read."""
