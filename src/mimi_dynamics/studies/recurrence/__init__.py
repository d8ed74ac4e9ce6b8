"""Nearest-neighbour lookup of what followed similar moments; nothing here is trained but a key."""
