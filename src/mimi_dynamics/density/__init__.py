"""Densities p(x) and p(x | past): heads, trunk and training loop, without gains or surrogates."""
