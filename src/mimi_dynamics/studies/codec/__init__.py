"""What stage `codec` alone needs."""
