"""The page and the verdicts of the bets, from metrics; nothing that computes a result."""
