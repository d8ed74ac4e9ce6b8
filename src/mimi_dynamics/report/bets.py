"""The four bets, each judged by the rules of every date, and what they come to together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mimi_dynamics.pipeline.metrics import Metrics
from mimi_dynamics.report.evidence import Verdict
from mimi_dynamics.report.metrics_file import has, measured
from mimi_dynamics.report.rules import BetParams, BetsParams, ControlLimits
from mimi_dynamics.report.rulings import Ruling, rule


@dataclass(frozen=True)
class Judgement:
    """A bet, and what the rules of every date say of it.

    Attributes:
        bet: claim, prior and rules.
        rulings: what the rules say, those of the latest date first.
    """

    bet: BetParams
    rulings: tuple[Ruling, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict by the rules of the latest date."""
        return self.rulings[0].verdict

    @property
    def posterior(self) -> float:
        """The probability of the bet by the rules of the latest date."""
        return self.rulings[0].posterior

    def metrics(self) -> dict[str, object]:
        """Give the bet's entry in `metrics/detail/bets.json`.

        What the rules of the latest date say stands at its top too.
        """
        by_date = {rules_name(ruling.date): ruling.metrics() for ruling in self.rulings}
        latest = self.rulings[0].metrics()
        top = ("posterior", "supported", "measured", "controls_failed")
        return {"prior": self.bet.prior, **{key: latest[key] for key in top}, **by_date}


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


def judge_all(
    bets: BetsParams, metrics: Mapping[str, Metrics], failed: bool
) -> dict[str, Judgement]:
    """Judge every bet, in their order.

    Args:
        bets: the bets as they were written down.
        metrics: metrics of the stages and studies that have run, by name.
        failed: whether controls failed; if so, no verdict counts and no prior moves.

    Raises:
        InputError: if a stage has run but its metrics lack what a rule reads.
    """
    judged: dict[str, Judgement] = {}
    for name, bet in bets.bets.items():
        judged[name] = judge(bet, metrics, failed, judged)
    return judged


def judge(
    bet: BetParams,
    metrics: Mapping[str, Metrics],
    failed: bool,
    before: Mapping[str, Judgement] | None = None,
) -> Judgement:
    """Apply the rules of every date to a bet.

    Args:
        bet: the bet as it was written down.
        metrics: metrics of the stages and studies that have run, by name.
        failed: whether controls failed.
        before: judgements by the name of the bet, of those on which this one may build.

    Raises:
        InputError: if a stage has run but its metrics lack what a rule reads.
    """
    rulings = []
    for date in bet.dates:
        ruling = rule(date, bet.rules[date], bet.prior, metrics, failed)
        premise = (before or {}).get(ruling.rules.premise)
        if premise:
            by_date = {of.date: of.verdict for of in premise.rulings}
            ruling = replace(ruling, premise_met=by_date.get(date) == "supported")
        rulings.append(ruling)
    return Judgement(bet, tuple(rulings))


def rules_name(date: str) -> str:
    """Give the key of the rules of a date in `metrics/detail/bets.json`."""
    return f"rules_{date.replace('-', '_')}"


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
