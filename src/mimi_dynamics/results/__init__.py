"""Rows of results, one for each codec that somebody measured, with what it takes to trust them."""
