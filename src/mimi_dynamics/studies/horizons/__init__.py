"""Gains by lead time and their half-life; stage `horizon` fits them with `density` alone."""
