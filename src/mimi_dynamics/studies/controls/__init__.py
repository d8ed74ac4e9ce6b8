"""Processes whose true gain is known; the estimator that they test is in `density`."""
