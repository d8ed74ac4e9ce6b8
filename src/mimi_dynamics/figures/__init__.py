"""From the tables in plots/ to pictures; nothing that computes a result."""
