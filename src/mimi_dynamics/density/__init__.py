"""Densities p(x) and p(x | past): heads, trunk, the one training loop; no gains, no surrogates."""
