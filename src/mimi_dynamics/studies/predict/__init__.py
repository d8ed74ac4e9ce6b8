"""Code that only the stage `predict` needs."""
