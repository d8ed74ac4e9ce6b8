"""Code that only the stage `recurrence` needs."""
