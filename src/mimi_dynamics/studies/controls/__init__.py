"""What stage `controls` alone needs."""
