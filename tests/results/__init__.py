"""Tests of `mimi_dynamics.results`."""
