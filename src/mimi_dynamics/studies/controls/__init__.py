"""Code that only the stage `controls` needs."""
