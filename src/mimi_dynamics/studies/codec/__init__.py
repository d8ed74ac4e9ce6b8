"""Code that only the stage `codec` needs."""
