"""A lookup memory of recurring patterns, added to a trunk: whether it helps, and why."""
