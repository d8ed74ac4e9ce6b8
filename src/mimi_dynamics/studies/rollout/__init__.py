"""What stage `rollout` alone needs."""
