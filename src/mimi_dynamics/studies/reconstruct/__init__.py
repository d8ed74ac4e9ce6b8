"""Code that only the stage `reconstruct` needs."""
