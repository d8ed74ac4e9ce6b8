"""Code that only the stage `encoders` needs."""
