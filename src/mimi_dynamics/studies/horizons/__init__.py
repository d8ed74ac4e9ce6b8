"""What stage `horizons` alone needs."""
