"""What counts as evidence: gains, surrogates, energy scores and intervals, but no models."""
