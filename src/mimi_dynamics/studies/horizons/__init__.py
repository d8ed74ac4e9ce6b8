"""Code that only the stage `horizons` needs."""
