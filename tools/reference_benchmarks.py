"""Figures of pages that benchmarks write, for pages that mention them."""

from pathlib import Path

DENSITY = Path(__file__).resolve().parents[1] / "docs/explanation/density.md"
# Starts of the names of rows that are no peers.
OURS = ("ours", "Gaussian marginal", "ridge VAR")


def best_peer(latents: str, seconds: int) -> tuple[str, str]:
    """Give the best density of another library, and how far it is behind ours, with its interval.

    Args:
        latents: which, as the heading of their table calls them.
        seconds: that each density had.

    Raises:
        ValueError: the page has no such table.
    """
    heading = f"## Latents of {latents}, {seconds} seconds each"
    _, found, rest = DENSITY.read_text(encoding="utf-8").partition(f"{heading}\n")
    if not found:
        raise ValueError(f"{DENSITY.name}: has no {heading!r}")
    lines = rest.partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    name, _, behind = min(
        (row[:3] for row in rows[2:] if not row[0].startswith(OURS)),
        key=lambda row: float(row[2].split()[0]),
    )
    return name, behind
