"""False alarms: what the rules of a bet say of corpora of which the bet is false."""

from collections.abc import Mapping
from typing import Any

from scipy.stats import beta

from mimi_dynamics.report.evidence import Evidence, decided, read_evidence
from mimi_dynamics.report.rules import BetParams, RulesParams

ROW = "codec"  # under which the rules look for what was measured
CONFIDENCE = 0.95  # of the two-sided interval of a share


def alarms(bet: BetParams, found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Apply the latest rules of a bet to corpora, whatever number of trainings they are of.

    Args:
        bet: the bet.
        found: what was measured of each corpus, by kind of corpus and by name.

    Returns:
        The share of corpora of which the rules say yes, with its interval (Clopper & Pearson 1934,
        Biometrika 26), over all and by kind; and of each corpus what the rules read.
    """
    rules = bet.rules[bet.dates[0]]
    kinds = {kind: _of_kind(rules, corpora) for kind, corpora in found.items() if corpora}
    count, yes = (sum(of[name] for of in kinds.values()) for name in ("corpora", "supported"))
    return {"corpora": count, "supported": yes, **_share(yes, count), **kinds}


def _of_kind(rules: RulesParams, corpora: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows, names = {name: {ROW: row} for name, row in corpora.items()}, _keys(rules)
    yes = sum(decided(rules, row) == "supported" for row in rows.values())
    evidence = {name: read_evidence(rules, row) for name, row in rows.items()}
    return {
        "corpora": len(rows),
        "supported": yes,
        **_share(yes, len(rows)),
        "largest": {
            name: max(of.measured.value for of in sum(evidence.values(), ()) if of.key == key)
            for key, name in names.items()
        },
        "each": {corpus: _numbers(names, of) for corpus, of in evidence.items()},
    }


def _numbers(names: Mapping[str, str], evidence: tuple[Evidence, ...]) -> dict[str, float]:
    return {
        f"{names[of.key]}{end}": value
        for of in evidence
        for end, value in (
            ("", of.measured.value),
            ("_ci_low", of.measured.low),
            ("_ci_high", of.measured.high),
        )
    }


def _keys(rules: RulesParams) -> dict[str, str]:
    """Give a flat name for each dotted key that the rules read."""
    keys = dict.fromkeys(condition.key for condition in rules.conditions)
    return {key: key.removeprefix(f"{ROW}.").replace(".", "_") for key in keys}


def _share(yes: int, count: int) -> dict[str, float]:
    low, high = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    return {
        "share": yes / count,
        "share_ci_low": float(beta.ppf(low, yes, count - yes + 1)) if yes else 0.0,
        "share_ci_high": float(beta.ppf(high, yes + 1, count - yes)) if yes < count else 1.0,
    }
