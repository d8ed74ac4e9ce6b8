"""What stage `predict` alone needs."""
