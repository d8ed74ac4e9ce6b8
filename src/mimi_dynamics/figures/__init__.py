"""Pictures drawn from the tables in plots/; nothing here computes a result."""
