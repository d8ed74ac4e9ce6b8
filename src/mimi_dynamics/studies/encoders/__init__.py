"""Latents of other encoders beside the codec's: how alike their frames are, and their gains."""
