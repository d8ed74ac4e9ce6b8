"""The factorisation of latents into an easy state and a local innovation, and its measurement."""
