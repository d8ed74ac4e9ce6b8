"""A lookup memory added to a trunk: whether it helps, and why; states come from stage `rssm`."""
