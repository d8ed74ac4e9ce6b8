"""What counts as evidence: gains, surrogates, energy scores, intervals; no model of its own."""
