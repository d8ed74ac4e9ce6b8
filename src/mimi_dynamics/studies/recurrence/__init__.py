"""What stage `recurrence` alone needs."""
