"""Code that only the stage `structure` needs."""
