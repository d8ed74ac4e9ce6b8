"""What tests share and what tries to break the pipeline; nothing that pytest collects."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the repository
