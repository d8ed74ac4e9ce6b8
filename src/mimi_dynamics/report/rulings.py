"""From evidence to belief: the rules of one date, applied to what was measured.

A verdict moves the prior by Bayes' rule. Power and false-alarm rate are those of a decided verdict,
one that is either `supported` or `contradicted`: P(supported | bet true, decided) and P(supported |
bet false, decided). An undecided verdict is assumed to be equally likely whether the bet is true or
false, so that it does not move the prior. One that was not measured does not either.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mimi_dynamics.pipeline.metrics import Metrics
from mimi_dynamics.report.evidence import (
    NOT_RECORDED,
    Evidence,
    Verdict,
    decided,
    end_of,
    lacking,
    read_evidence,
    trainings_of,
    uncounted,
)
from mimi_dynamics.report.rules import RulesParams

SCORES = {"supported": 1, "contradicted": 0}  # verdicts as numbers; any other verdict is 0.5
UPWARD = ("above", "at_least")


@dataclass(frozen=True)
class Ruling:
    """What the rules of one date say of a bet.

    Attributes:
        date: the date of the rules.
        rules: the rules.
        evidence: what was measured, one entry a key; empty if any of it is not there.
        trainings: the number of trainings that the evidence is of, 0 if that is not recorded.
        on_paper: the verdict of the rules alone.
        verdict: the same verdict, unless controls failed.
        posterior: probability of the bet.
        reason: why it is not measured, in words; empty if it is.
        premise_met: whether the bet on which this one builds is supported by rules of that date.
    """

    date: str
    rules: RulesParams
    evidence: tuple[Evidence, ...]
    trainings: int
    on_paper: Verdict
    verdict: Verdict
    posterior: float
    reason: str = ""
    premise_met: bool = True

    @property
    def weakest(self) -> Evidence | None:
        """The evidence that decides on support, such as the smaller of two gains; None if none.

        It is that nearest to failing among conditions that ask for the same as the first one.
        """
        first = self.rules.supported_if[0][0]
        like = [
            result
            for result in self.evidence
            for condition in result.asked
            if condition.model_copy(update={"key": first.key}) == first
        ]
        sign = 1 if first.side in UPWARD else -1
        return min(like, key=lambda result: sign * end_of(result.measured, first), default=None)

    def metrics(self) -> dict[str, object]:
        """Give the entry of these rules in `metrics/detail/bets.json`."""
        rules = self.rules
        found = {f"key{number}": of.metrics() for number, of in enumerate(self.evidence, 1)}
        premise = {} if rules.premise == "none" else {"premise_met": int(self.premise_met)}
        return {
            "posterior": self.posterior,
            "supported": SCORES.get(self.verdict, 0.5),
            "measured": int(self.on_paper != "not_measured"),
            "controls_failed": int(self.verdict == "controls_failed"),
            "power": rules.power,
            "power_measured": int(rules.power_measured),
            "false_alarm": rules.false_alarm,
            "false_alarm_measured": int(rules.false_alarm_measured),
            "likelihood_ratio": rules.likelihood_ratio,
            "threshold": rules.supported_if[0][0].threshold,
            "trainings_asked": rules.trainings_at_least,
            **({"trainings": self.trainings} if self.trainings else {}),
            **premise,
            **(self.weakest.metrics() if self.weakest else {}),
            **(found if len(found) > 1 else {}),
        }


def rule(
    date: str, rules: RulesParams, prior: float, metrics: Mapping[str, Metrics], failed: bool
) -> Ruling:
    """Apply the rules of one date.

    Args:
        date: the date.
        rules: the rules.
        prior: probability of the bet before any result.
        metrics: metrics of the stages and studies that have run, by name.
        failed: whether controls failed; if so, no verdict counts and the prior stays.

    Raises:
        InputError: there are metrics, but without something that rules read and that may not lack.
    """
    evidence: tuple[Evidence, ...] = ()
    trainings = NOT_RECORDED
    reason = lacking(rules, metrics)
    if not reason:
        found = metrics[rules.metrics]
        evidence = read_evidence(rules, found)
        trainings = trainings_of(rules, found)
        reason = uncounted(rules, trainings, found)
    on_paper = "not_measured" if reason else decided(rules, metrics[rules.metrics])
    verdict = "controls_failed" if failed else on_paper
    belief = posterior(prior, rules, verdict)
    return Ruling(date, rules, evidence, trainings, on_paper, verdict, belief, reason)


def posterior(prior: float, rules: RulesParams, verdict: Verdict) -> float:
    """Give the probability of a bet after the verdict, by Bayes' rule."""
    if verdict == "supported":
        true, false = rules.power, rules.false_alarm
    elif verdict == "contradicted":
        true, false = 1 - rules.power, 1 - rules.false_alarm
    else:
        return prior
    return prior * true / (prior * true + (1 - prior) * false)
