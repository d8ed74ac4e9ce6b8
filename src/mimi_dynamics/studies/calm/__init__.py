"""A small CALM (Kyutai, arXiv 2509.06926) and its rivals; scores by lead are in `generation`."""
