"""Free-running samples: rollouts, their scores by lead, and sounds; no training."""
