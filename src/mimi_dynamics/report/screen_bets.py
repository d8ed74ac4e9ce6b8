"""The bets on the closing screen: their verdicts by the rules of two dates, in one row each."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from mimi_dynamics.report.differences import flips, rulings, verdict
from mimi_dynamics.report.formatting import counted, percent

CLAIM, VERDICT = 43, 26  # widths of the columns, of which verdicts have `DATES`
CLAIM_LINES, DATES = 3, 2
NOT_RUN = "not run"
RATIO_TOLD = "×: power / false alarm of the rules, how much likelier a yes is if the bet is true."


def bets_lines(
    claims: Mapping[str, str], codec: str, mine: Mapping[str, Any], theirs: Mapping[str, Any] | None
) -> list[str]:
    """Write claims and verdicts, by the rules of two dates side by side.

    Below a verdict stand the number of trainings, the likelihood ratio and, where it is another
    one, what the commit has.

    Args:
        claims: the claim of every bet by its name.
        codec: name of the codec of which they are true; may be empty.
        mine: `metrics/detail/bets.json` of the working tree by dotted key; empty if not run.
        theirs: that of the commit; None if it is not to be shown.
    """
    known = {date for bet in claims for of in (mine, theirs or {}) for date in rulings(of, bet)}
    dates = sorted(known, reverse=True)[:DATES]
    lines = [_bet_line(f"Bets, on {codec}" if codec else "Bets", [f"rules of {d}" for d in dates])]
    for number, (bet, claim) in enumerate(claims.items(), 1):
        wrapped = textwrap.wrap(claim, CLAIM, max_lines=CLAIM_LINES, placeholder=" …")
        first = [f"{number} ", *["  "] * len(wrapped)]
        texts = [start + line for start, line in zip(first, wrapped, strict=False)]
        cells = [_verdict_lines(bet, date, mine, theirs) for date in dates] or [[NOT_RUN]]
        for line, *of in itertools.zip_longest(texts, *cells, fillvalue=""):
            lines.append(_bet_line(line, of))
    return [*lines, RATIO_TOLD]


def _bet_line(claim: str, cells: Sequence[str]) -> str:
    return " ".join([f"{claim:<{CLAIM + 2}}", *(f"{cell:<{VERDICT}}" for cell in cells)]).rstrip()


def _verdict_lines(
    bet: str, date: str, mine: Mapping[str, Any], theirs: Mapping[str, Any] | None
) -> list[str]:
    place = rulings(mine, bet).get(date, "")
    lines = [_belief(mine, place), _rates(mine, place)]
    if theirs is not None:
        before = rulings(theirs, bet).get(date, "")
        old, new = verdict(theirs, before), verdict(mine, place)
        if new and not old:
            lines[0] += ", new"
        elif _belief(theirs, before) != lines[0]:
            lines.append(f"{'flips: ' if flips(old, new) else 'was '}{_belief(theirs, before)}")
    return [line for line in lines if line]


def _belief(values: Mapping[str, Any], place: str) -> str:
    said = verdict(values, place)
    return f"{said} ({percent(values[f'{place}.posterior'])})" if said else NOT_RUN


def _rates(values: Mapping[str, Any], place: str) -> str:
    trainings, ratio = (values.get(f"{place}.{key}") for key in ("trainings", "likelihood_ratio"))
    texts = [counted(trainings, "training")] if trainings else []
    if ratio:
        both = all(values.get(f"{place}.{rate}_measured") for rate in ("power", "false_alarm"))
        texts.append(f"×{ratio:.3g} {'measured' if both else 'assumed'}")
    return ", ".join(texts)
