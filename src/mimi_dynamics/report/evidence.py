"""What rules of `bets.yaml` read of the metrics, and which of their conditions hold there."""

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import Metrics, detail_path
from mimi_dynamics.report.formatting import counted
from mimi_dynamics.report.metrics_file import Measured, has, measured
from mimi_dynamics.report.rules import Condition, RulesParams
from mimi_dynamics.report.studies import DIFFERS

Verdict = Literal["supported", "contradicted", "inconclusive", "not_measured", "controls_failed"]
SIDES = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}
NOT_RECORDED = 0  # as a number of trainings


@dataclass(frozen=True)
class Evidence:
    """What was measured at a key that rules read.

    Attributes:
        key: its dotted key.
        asked: the conditions of support on it; none if only other lists read it.
        measured: the number there, with its interval if any condition is of an end of it.
    """

    key: str
    asked: tuple[Condition, ...]
    measured: Measured

    def metrics(self) -> dict[str, float]:
        """Give the number and its interval, which is the number itself where it has none."""
        found = self.measured
        ends = {"evidence_ci_low": found.low, "evidence_ci_high": found.high}
        return {"evidence": found.value, **ends}


def lacking(rules: RulesParams, metrics: Mapping[str, Metrics]) -> str:
    """Tell why there is nothing to judge; '' if there is all that the rules read.

    Raises:
        InputError: a metric is missing that may not be, or the ends of its interval are.
    """
    if rules.metrics not in metrics:
        return "its study has not been run" if rules.study else f"{rules.metrics} has not been run"
    found = metrics[rules.metrics]
    if DIFFERS in found:
        return f"its study is of something else: {found[DIFFERS]}"
    for condition in rules.conditions:
        key = condition.key if condition.end == "value" else f"{condition.key}_ci_{condition.end}"
        if has(found, key):
            continue
        outer = [
            lack
            for lack in rules.may_lack
            if f"{condition.key}.".startswith(f"{lack.key}.") and not has(found, lack.key)
        ]
        if not outer:
            raise InputError(
                f"{detail_path(rules.metrics)}: metric {key} is missing; "
                "a rule of bets.yaml reads it"
            )
        return min(outer, key=lambda lack: len(lack.key)).means
    return ""


def read_evidence(rules: RulesParams, found: Metrics) -> tuple[Evidence, ...]:
    """Read what was measured at every key that rules read, each once.

    Raises:
        InputError: a number is not finite.
    """
    keys = dict.fromkeys(condition.key for condition in rules.conditions)
    asked = [condition for way in rules.supported_if for condition in way]
    try:
        return tuple(
            Evidence(key, tuple(c for c in asked if c.key == key), measured(found, key))
            for key in keys
        )
    except InputError as error:
        raise InputError(
            f"{detail_path(rules.metrics)}: {error}; a rule of bets.yaml reads it"
        ) from None


def trainings_of(rules: RulesParams, found: Metrics) -> int:
    """Count the trainings that the intervals which rules read are of, the fewest of any of them.

    It stands at `<key>_trainings` or, of all numbers of a file, at `trainings`.
    """
    keys = {condition.key for condition in rules.conditions if condition.end != "value"}
    places = [
        next((at for at in (f"{key}_trainings", "trainings") if has(found, at)), "") for key in keys
    ]
    return min((int(measured(found, at).value) if at else NOT_RECORDED for at in places), default=0)


def uncounted(rules: RulesParams, trainings: int, found: Metrics) -> str:
    """Tell why what was measured does not count; '' if it does."""
    least = rules.trainings_at_least
    if max(trainings, 1) < least:
        return f"it is of {counted(max(trainings, 1), 'training')}, and {least} are asked for"
    for condition in rules.counts_if:
        if not holds(condition, found):
            value = end_of(measured(found, condition.key), condition)
            return f"{condition.key} is {value:g}, and must be {asked_in_words(condition)}"
    return ""


def decided(rules: RulesParams, found: Metrics) -> Verdict:
    """Give the verdict on what was measured."""
    if _any_way(rules.supported_if, found):
        return "supported"
    return "contradicted" if _any_way(rules.contradicted_if, found) else "inconclusive"


def _any_way(ways: Iterable[Iterable[Condition]], found: Metrics) -> bool:
    return any(all(holds(condition, found) for condition in way) for way in ways)


def holds(condition: Condition, found: Metrics) -> bool:
    """Tell whether a condition holds for what was measured."""
    value = end_of(measured(found, condition.key), condition)
    return SIDES[condition.side](value, condition.threshold)


def end_of(result: Measured, condition: Condition) -> float:
    """Give the end of an interval that a condition is about, or the value."""
    return {"low": result.low, "high": result.high, "value": result.value}[condition.end]


def asked_in_words(condition: Condition) -> str:
    """Write what a condition asks of its number: at least 0.05."""
    return f"{condition.side.replace('_', ' ')} {condition.threshold:g}"
