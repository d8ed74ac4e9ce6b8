"""The closing screen: the results of the working tree beside those of the last commit.

    python tools/compare.py            (`make compare`; `make repro` ends with it)

Shows verdicts, headline figures and how many numbers differ, says which left their 95 % interval,
where the page is and what to try next. Reads metrics/, params.yaml and bets.yaml, here and by git,
and writes nothing. Where git has no commit to compare with, it says why and shows what is here.

Exits with 1 only if a verdict flips: a bet is judged both here and in the commit, as supported,
contradicted, inconclusive or controls failed, and not alike. A bet that was not measured here,
because a stage was not run, is shown and no error; nor are numbers that differ.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # no PYTHONPATH to remember

from mimi_dynamics.report.closing import closing, say


def main() -> int:
    """Print the closing screen; the exit status."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    text, flipped = closing()
    say(text)
    if flipped:
        print(f"compare: a verdict flips: {'; '.join(flipped)}", file=sys.stderr)
    return 1 if flipped else 0


if __name__ == "__main__":
    sys.exit(main())
