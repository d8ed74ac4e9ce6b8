"""Codecs, log-mel distance and pitch: what turns sound into latents; nothing models latents."""
