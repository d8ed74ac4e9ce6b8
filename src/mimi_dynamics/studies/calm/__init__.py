"""A small CALM (Kyutai, arXiv 2509.06926), and its comparison with the other generators."""
