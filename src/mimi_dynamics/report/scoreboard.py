"""The top of the page: what is to be believed now, why, and what to try next."""

from collections.abc import Mapping

from mimi_dynamics.pipeline.conventions import FRAME_MS
from mimi_dynamics.report.bets import ControlCheck, Evidence, Judgement, weakest_link
from mimi_dynamics.report.formatting import cell, decimal, listed, percent, side, words
from mimi_dynamics.report.metrics_file import Metrics, has, measured
from mimi_dynamics.report.parts import Scored
from mimi_dynamics.report.rules import ControlLimits, RuleParams

DOUBTS = (  # why each bet is most likely to fail, and what would tell
    "A head too weak, or a codec that leaves nothing to predict: try stronger heads on these "
    "latents (head, predict.heads), then the latents of Kyutai's Mimi (codec.name=mimi).",
    "A state that is smooth because it averages, or easy because it is empty: compare it with its "
    "rivals at equal fidelity, and on shuffled frames.",
    "Dynamics that are smooth but do not repeat: compare the share of test n-grams seen in "
    "training with that of shuffled frames.",
    "A rival that is well tuned: compare cost at equal quality before quality at equal cost.",
)


def scored(number: int, judgement: Judgement, metrics: Mapping[str, Metrics]) -> Scored:
    """A bet on the scoreboard; `metrics` by stage, of the stages that have run."""
    bet = judgement.bet
    findings = [(found.rule.metrics, finding(found)) for found in judgement.evidence]
    return Scored(
        number=number,
        claim=bet.claim,
        verdict=judgement.verdict,
        prior=100 * bet.prior,
        posterior=100 * judgement.posterior,
        findings=findings or [(rule.metrics, f"{rule.key} {asked(rule)}") for rule in bet.rules],
        note=" ".join([note(judgement), *caveats(number, metrics)]),
    )


def finding(found: Evidence) -> str:
    """What was measured for a rule."""
    value = cell(found.measured) if found.rule.interval else f"{found.measured.value:g}"
    return f"{found.rule.key} = {value}, {asked(found.rule)}"


def asked(rule: RuleParams) -> str:
    """What a rule asks for."""
    return f"must be {rule.side} {rule.threshold:g}"


def note(judgement: Judgement) -> str:
    """What a reader should know of the rules."""
    parts = []
    if len(judgement.bet.rules) > 1:
        parts.append(f"{judgement.bet.needs.capitalize()} of its rules must hold.")
    if judgement.verdict == "controls_failed" and judgement.on_paper != "not_measured":
        parts.append(f"Its rules alone would say: {judgement.on_paper}.")
    when = "before any result" if judgement.bet.before_result else "after first results"
    parts.append(f"Rules entered {when} had been seen.")
    return " ".join(parts)


def caveats(number: int, metrics: Mapping[str, Metrics]) -> list[str]:
    """What was measured against a bet that its rules do not ask for."""
    key = "dynamic_ease_over_raw"
    if number != 2 or not has(metrics.get("rssm", {}), key):
        return []
    over_raw = measured(metrics["rssm"], key)
    compared = {1: "", 0: "is not surely easier", -1: "is harder to predict"}[side(over_raw)]
    if not compared:
        return []
    return [
        "Its rules do not ask whose doing that ease is: beyond what shuffled frames give too, the "
        f"state {compared} than raw latents ({cell(over_raw)})."
    ]


def warnings(check: ControlCheck, limits: ControlLimits) -> list[str]:
    """What stands above everything else if the controls failed."""
    texts = []
    if check.short:
        names = [f"{words(name)} ({percent(share, 1)})" for name, share in check.short.items()]
        least = percent(limits.least_recovered)
        texts.append(f"The estimator finds less than {least} of the known gain in {listed(names)}.")
    if check.false:
        names = [f"{words(name)} ({decimal(nats)})" for name, nats in check.false.items()]
        texts.append(f"It finds nats per dimension where there are none, in {listed(names)}.")
    if texts:
        texts.append("Until that is mended no verdict below counts, and no prior moves.")
    return texts


def weakest_text(judgements: list[Judgement]) -> str:
    """The link on which the others wait, in words."""
    weakest = weakest_link(judgements)
    if not weakest:
        return "The estimator itself: it misses known answers."
    judgement = judgements[weakest - 1]
    state = judgement.verdict.replace("_", " ")
    return f"Bet {weakest}: {judgement.bet.claim[0].lower()}{judgement.bet.claim[1:]} ({state})."


def advice(
    judgements: list[Judgement], check: ControlCheck, informative: int | None, floor: float
) -> str:
    """The next experiment: the one that could move the weakest link.

    Args:
        judgements: of the bets, in their order.
        check: of the controls.
        informative: how many frames ahead the dynamic gain is surely above the floor; none if
            it was not measured at several distances.
        floor: in nats per dimension.
    """
    weakest = weakest_link(judgements)
    if not weakest:
        names = listed([words(name) for name in [*check.short, *check.false]])
        return f"Mend the estimator on {names}, then run predict again."
    judgement = judgements[weakest - 1]
    if judgement.verdict == "not_measured":
        stages = dict.fromkeys(rule.metrics for rule in judgement.bet.rules)
        return f"Run the stage {listed(list(stages))}.{leads_text(informative, floor)}"
    if judgement.verdict == "inconclusive":
        return "Narrow its interval: more held-out speech (ingest.corpora), or more seeds (seed)."
    if judgement.verdict == "contradicted":
        return f"{DOUBTS[weakest - 1]}{leads_text(informative, floor)}"
    return "Every bet is supported: repeat all of it on another codec and another corpus."


def leads_text(informative: int | None, floor: float) -> str:
    """Which lead times still carry information; begins with a space, or is empty if unknown."""
    if informative is None:
        return ""
    nothing = f"what the past tells beyond shuffled frames is not surely above {floor:g} nats/dim"
    if not informative:
        return f" At every lead, {nothing}."
    return f" Aim at leads of up to {FRAME_MS * informative} ms: further ahead, {nothing}."
