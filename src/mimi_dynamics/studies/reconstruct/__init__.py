"""What stage `reconstruct` alone needs."""
