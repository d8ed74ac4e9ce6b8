"""What stage `encoders` alone needs."""
