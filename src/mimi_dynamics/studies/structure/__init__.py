"""How much past and capacity the gain takes, and where it lives; no density of its own."""
