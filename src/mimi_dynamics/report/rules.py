"""The model of `bets.yaml`: what each bet claims, and the rules by which it is judged."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mimi_dynamics.pipeline.settings import Name, Positive, Section, Share, load_settings

BETS_FILE = Path("bets.yaml")

Probability = Annotated[float, Field(gt=0, lt=1)]


class RuleParams(Section):
    """One condition of a bet: the side of a threshold on which a whole interval must lie.

    Attributes:
        metrics: name of the stage whose metrics to read.
        key: dotted key of the metric.
        interval: whether the metric must have an interval.
        side: the side of the threshold that supports the bet.
        threshold: the number to compare with.
    """

    metrics: Name
    key: Name
    interval: bool
    side: Literal["above", "below"]
    threshold: Annotated[float, Field(allow_inf_nan=False)]


class BetParams(Section):
    """A claim, its probability before any result, and the rules that can change it.

    Attributes:
        claim: the claim in words.
        prior: probability of the bet before any result.
        power: P(supported | bet true, decided).
        false_alarm: P(supported | bet false, decided).
        before_result: whether the rules were written down before any of their results.
        needs: whether the bet needs all of its rules or any one of them.
        rules: the conditions.
    """

    claim: Name
    prior: Probability
    power: Probability
    false_alarm: Probability
    before_result: bool
    needs: Literal["all", "any"]
    rules: Annotated[list[RuleParams], Field(min_length=1)]

    @model_validator(mode="after")
    def _informative(self) -> "BetParams":
        if self.power <= self.false_alarm:
            raise ValueError(
                f"power = {self.power:g}: must be above false_alarm = {self.false_alarm:g}"
            )
        return self


class ControlLimits(Section):
    """How far the estimator may be from the truth where the truth is known.

    Attributes:
        least_recovered: share of a true gain that the interval of what was found must reach.
        most_null_nats_per_dim: how far from zero, on either side, an estimate may be where there is
            nothing to find.
    """

    least_recovered: Share
    most_null_nats_per_dim: Positive


class BetsParams(Section):
    """The contents of `bets.yaml`: the four bets, and the limits for the controls.

    If controls are outside of these limits, no verdict counts.
    """

    controls: ControlLimits
    bet1: BetParams
    bet2: BetParams
    bet3: BetParams
    bet4: BetParams


def load_bets(path: Path = BETS_FILE) -> BetsParams:
    """Read and check the whole of `bets.yaml`.

    Raises:
        InputError: a message of one line that names the file, the key, its value and what is
            allowed.
    """
    return load_settings(path, BetsParams)
