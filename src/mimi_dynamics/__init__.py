"""Are the latents of a neural speech codec predictable? The library behind the stages."""
