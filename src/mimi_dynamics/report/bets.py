"""From evidence to belief: the written rules of each bet, applied to what was measured.

A verdict moves the prior by Bayes' rule. Power and false-alarm rate are those of a decided verdict,
one that is either `supported` or `contradicted`: P(supported | bet true, decided) and P(supported |
bet false, decided). An undecided verdict is assumed to be equally likely whether the bet is true or
false, so that it does not move the prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import Metrics, detail_path
from mimi_dynamics.report.metrics_file import Measured, has, measured
from mimi_dynamics.report.rules import BetParams, ControlLimits, RuleParams

Verdict = Literal["supported", "contradicted", "inconclusive", "not_measured", "controls_failed"]
SCORES = {"supported": 1, "contradicted": 0}  # verdicts as numbers; any other verdict is 0.5


@dataclass(frozen=True)
class Evidence:
    """What was measured for one rule.

    Attributes:
        rule: the condition.
        measured: the metric that the rule reads, with its interval.
    """

    rule: RuleParams
    measured: Measured

    @property
    def verdict(self) -> Verdict:
        """Whether the measurement supports the rule.

        It is supported if the whole interval is on the rule's side of the threshold, contradicted
        if the whole interval is on the other side, and otherwise inconclusive.
        """
        sign = 1 if self.rule.side == "above" else -1
        low, high = sorted(
            sign * (end - self.rule.threshold) for end in (self.measured.low, self.measured.high)
        )
        if low > 0:
            return "supported"
        return "contradicted" if high < 0 else "inconclusive"


@dataclass(frozen=True)
class Judgement:
    """A bet, the evidence on it, and its probability after that evidence.

    Attributes:
        bet: claim, prior and rules.
        evidence: one entry for each rule; empty while any rule is not measured yet.
        on_paper: the verdict of the rules alone.
        verdict: the same verdict, unless controls failed.
        posterior: probability of the bet.
    """

    bet: BetParams
    evidence: tuple[Evidence, ...]
    on_paper: Verdict
    verdict: Verdict
    posterior: float

    def metrics(self) -> dict[str, object]:
        """Give the bet's entry in `metrics/detail/bets.json`, with the first rule's `evidence`."""
        rules = {
            f"rule{number}": {
                "evidence": result.measured.value,
                "evidence_ci_low": result.measured.low,
                "evidence_ci_high": result.measured.high,
                "threshold": result.rule.threshold,
                "supported": SCORES.get(result.verdict, 0.5),
            }
            for number, result in enumerate(self.evidence, 1)
        }
        first = {k: v for k, v in rules.get("rule1", {}).items() if k != "supported"}
        return {
            "prior": self.bet.prior,
            "posterior": self.posterior,
            "threshold": self.bet.rules[0].threshold,
            **first,
            "supported": SCORES.get(self.verdict, 0.5),
            "measured": int(self.on_paper != "not_measured"),
            "controls_failed": int(self.verdict == "controls_failed"),
            **(rules if len(rules) > 1 else {}),
        }


@dataclass(frozen=True)
class ControlCheck:
    """The processes on which the estimator is further from the truth than is allowed, by name.

    Attributes:
        short: recovered share of the true gain, for processes of which too little was recovered.
        false: nats per dimension found, for processes in which there is nothing to find.
    """

    short: dict[str, float]
    false: dict[str, float]

    @property
    def failed(self) -> bool:
        """Whether there is any such process."""
        return bool(self.short or self.false)


def judge(bet: BetParams, metrics: Mapping[str, Metrics], controls_failed: bool) -> Judgement:
    """Apply the rules of a bet.

    Args:
        bet: the bet as it was written down.
        metrics: metrics of the stages that have run, by stage.
        controls_failed: whether controls failed; if so, no verdict counts and the prior stays.

    Raises:
        InputError: if a stage has run but its metrics lack what a rule reads.
    """
    evidence: tuple[Evidence, ...] = ()
    on_paper: Verdict = "not_measured"
    if all(rule.metrics in metrics for rule in bet.rules):
        evidence = tuple(read_evidence(rule, metrics[rule.metrics]) for rule in bet.rules)
        on_paper = combine([result.verdict for result in evidence], bet.needs)
    verdict = "controls_failed" if controls_failed else on_paper
    return Judgement(bet, evidence, on_paper, verdict, posterior(bet, verdict))


def read_evidence(rule: RuleParams, metrics: Metrics) -> Evidence:
    """Read what was measured for a rule.

    Raises:
        InputError: if the metric, or an interval that the rule requires, is missing.
    """
    try:
        if rule.interval and not has(metrics, f"{rule.key}_ci_low"):
            raise InputError(f"metric {rule.key}_ci_low is missing")
        return Evidence(rule, measured(metrics, rule.key))
    except InputError as error:
        raise InputError(
            f"{detail_path(rule.metrics)}: {error}; a rule of bets.yaml reads it"
        ) from None


def combine(verdicts: list[Verdict], needs: Literal["all", "any"]) -> Verdict:
    """Combine verdicts on the rules of a bet that needs all of its rules, or any one of them.

    Args:
        verdicts: the verdict on each rule.
        needs: whether `all` rules must support the bet, or `any` one of them.
    """
    decisive, other = ("supported", "contradicted")[:: 1 if needs == "any" else -1]
    if decisive in verdicts:
        return decisive
    return other if set(verdicts) == {other} else "inconclusive"


def posterior(bet: BetParams, verdict: Verdict) -> float:
    """Give the probability of the bet after the verdict, by Bayes' rule."""
    if verdict == "supported":
        true, false = bet.power, bet.false_alarm
    elif verdict == "contradicted":
        true, false = 1 - bet.power, 1 - bet.false_alarm
    else:
        return bet.prior
    return bet.prior * true / (bet.prior * true + (1 - bet.prior) * false)


def check_controls(controls: Metrics, limits: ControlLimits) -> ControlCheck:
    """Compare estimates for processes with known answers with the limits of `bets.yaml`.

    Args:
        controls: metrics of the stage `controls`.
        limits: how far estimates may be from the truth.
    """
    short, false = {}, {}
    for process in sorted(name for name in controls if isinstance(controls[name], Mapping)):
        if process == "held_out":
            continue
        if has(controls, f"{process}.recovered"):
            recovered = measured(controls, f"{process}.recovered")
            if recovered.high < limits.least_recovered:
                short[process] = recovered.value
        else:
            result = measured(controls, f"{process}.estimated_nats_per_dim").value
            if abs(result) > limits.most_null_nats_per_dim:
                false[process] = result
    return ControlCheck(short, false)


def informative_horizon(horizons: Metrics, floor: float) -> int:
    """Give the longest horizon up to which every dynamic gain is surely above `floor`.

    Args:
        horizons: metrics of the stage `horizons`.
        floor: least gain in nats per dimension; the lower end of every interval must be above it.

    Returns:
        The horizon in frames, or 0 if even the shortest one is not above `floor`.
    """
    longest = 0
    for k in distances(horizons):
        if measured(horizons, f"k{k}.dynamic_gain_nats_per_dim").low <= floor:
            break
        longest = k
    return longest


def distances(metrics: Metrics) -> list[int]:
    """List the horizons in frames for which metrics have an entry `k1`, `k2`, ..., in order."""
    return sorted(int(key[1:]) for key in metrics if key[0] == "k" and key[1:].isdigit())


def weakest_link(judgements: list[Judgement]) -> int:
    """Give the number of the bet on which the others wait, or 0 if controls failed.

    Each bet builds on those before it. So the weakest link is the first bet that is contradicted,
    or else the first that is undecided, or else the least likely one.
    """
    verdicts = [judgement.verdict for judgement in judgements]
    if "controls_failed" in verdicts:
        return 0
    for number, verdict in enumerate(verdicts, 1):
        if verdict == "contradicted":
            return number
    for number, verdict in enumerate(verdicts, 1):
        if verdict != "supported":
            return number
    least = min(judgements, key=lambda judgement: judgement.posterior)
    return judgements.index(least) + 1
