"""What stage `structure` alone needs."""
