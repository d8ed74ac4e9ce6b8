"""Codecs, which turn sound into latents, and log-mel distance and pitch. Nothing models latents."""
