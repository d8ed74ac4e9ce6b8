"""What stage `predict` reports, and its calibration; how gains come about is in `evidence`."""
