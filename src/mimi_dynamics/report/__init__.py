"""Verdicts on the bets, the page and the closing screen, from metrics; it computes no result."""
