"""Code that only the stage `rollout` needs."""
