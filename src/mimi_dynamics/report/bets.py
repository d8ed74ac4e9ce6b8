"""From evidence to belief: rules that were written down, applied to what was measured.

A verdict moves the prior by Bayes' rule. Power and false-alarm rate are those of a verdict that is
either way: P(supported | bet true, decided) and P(supported | bet false, decided). An undecided
verdict is taken to be as likely either way, so that it leaves the prior as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import Metrics, detail_path
from mimi_dynamics.report.metrics_file import Measured, has, measured
from mimi_dynamics.report.rules import BetParams, ControlLimits, RuleParams

Verdict = Literal["supported", "contradicted", "inconclusive", "not_measured", "controls_failed"]
SCORES = {"supported": 1, "contradicted": 0}  # of a verdict in metrics; any other is 0.5


@dataclass(frozen=True)
class Evidence:
    """What was measured for one rule."""

    rule: RuleParams
    measured: Measured

    @property
    def verdict(self) -> Verdict:
        """Supported where the whole interval is on the rule's side, contradicted on the other."""
        sign = 1 if self.rule.side == "above" else -1
        low, high = sorted(
            sign * (end - self.rule.threshold) for end in (self.measured.low, self.measured.high)
        )
        if low > 0:
            return "supported"
        return "contradicted" if high < 0 else "inconclusive"


@dataclass(frozen=True)
class Judgement:
    """A bet, what was found, and what is to be believed of it now.

    Attributes:
        bet: claim, prior and rules.
        evidence: one for each rule; none while anything is not measured.
        on_paper: what the rules alone say.
        verdict: the same, but for controls that failed.
        posterior: probability of the bet.
    """

    bet: BetParams
    evidence: tuple[Evidence, ...]
    on_paper: Verdict
    verdict: Verdict
    posterior: float

    def metrics(self) -> dict[str, object]:
        """What `metrics/bets.json` says of it: `evidence` is of its first rule."""
        rules = {
            f"rule{number}": {
                "evidence": found.measured.value,
                "evidence_ci_low": found.measured.low,
                "evidence_ci_high": found.measured.high,
                "threshold": found.rule.threshold,
                "supported": SCORES.get(found.verdict, 0.5),
            }
            for number, found in enumerate(self.evidence, 1)
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
    """Processes on which the estimator is further from the truth than it may be, by name.

    Attributes:
        short: share recovered of a gain that is there.
        false: nats per dimension found where there is nothing.
    """

    short: dict[str, float]
    false: dict[str, float]

    @property
    def failed(self) -> bool:
        """Whether there is any."""
        return bool(self.short or self.false)


def judge(bet: BetParams, metrics: Mapping[str, Metrics], controls_failed: bool) -> Judgement:
    """Apply a bet's rules.

    Args:
        bet: what was written down.
        metrics: by stage, of the stages that have run.
        controls_failed: then no verdict counts, and the prior stays.

    Raises:
        InputError: a stage has run, but its metrics lack what a rule reads.
    """
    evidence: tuple[Evidence, ...] = ()
    on_paper: Verdict = "not_measured"
    if all(rule.metrics in metrics for rule in bet.rules):
        evidence = tuple(read_evidence(rule, metrics[rule.metrics]) for rule in bet.rules)
        on_paper = combine([found.verdict for found in evidence], bet.needs)
    verdict = "controls_failed" if controls_failed else on_paper
    return Judgement(bet, evidence, on_paper, verdict, posterior(bet, verdict))


def read_evidence(rule: RuleParams, metrics: Metrics) -> Evidence:
    """What was measured for a rule.

    Raises:
        InputError: it, or the interval that the rule asks for, is not there.
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
    """The verdict on a bet that needs all of its rules, or any one of them."""
    decisive, other = ("supported", "contradicted")[:: 1 if needs == "any" else -1]
    if decisive in verdicts:
        return decisive
    return other if set(verdicts) == {other} else "inconclusive"


def posterior(bet: BetParams, verdict: Verdict) -> float:
    """Probability of the bet after the verdict, by Bayes' rule."""
    if verdict == "supported":
        true, false = bet.power, bet.false_alarm
    elif verdict == "contradicted":
        true, false = 1 - bet.power, 1 - bet.false_alarm
    else:
        return bet.prior
    return bet.prior * true / (bet.prior * true + (1 - bet.prior) * false)


def check_controls(controls: Metrics, limits: ControlLimits) -> ControlCheck:
    """Compare what the estimator found on processes with known answers with the limits."""
    short, false = {}, {}
    for process in sorted(name for name in controls if isinstance(controls[name], Mapping)):
        if has(controls, f"{process}.recovered"):
            recovered = measured(controls, f"{process}.recovered").value
            if recovered < limits.least_recovered:
                short[process] = recovered
        else:
            found = measured(controls, f"{process}.estimated_nats_per_dim").value
            if found > limits.most_null_nats_per_dim:
                false[process] = found
    return ControlCheck(short, false)


def informative_horizon(horizons: Metrics, floor: float) -> int:
    """The longest distance, in frames, up to which every dynamic gain is surely above `floor`.

    Returns:
        0 if the shortest is not.
    """
    longest = 0
    for k in distances(horizons):
        if measured(horizons, f"k{k}.dynamic_gain_nats_per_dim").low <= floor:
            break
        longest = k
    return longest


def distances(metrics: Metrics) -> list[int]:
    """The distances in frames, of which metrics have an entry `k1`, `k2`, ..., in order."""
    return sorted(int(key[1:]) for key in metrics if key[0] == "k" and key[1:].isdigit())


def weakest_link(judgements: list[Judgement]) -> int:
    """Number of the bet on which the others wait; 0 if it is the controls.

    Each bet builds on those before it: so the first that is contradicted, else the first that is
    undecided, else the least likely.
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
