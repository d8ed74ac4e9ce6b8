"""Gains by lead time and where they halve; stage `horizon` fits them with `density` alone."""
