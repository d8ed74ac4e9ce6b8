"""What stage `rollout` reports of free-running samples; how they are drawn is in `generation`."""
