"""The one model of `bets.yaml`: what each bet claims, and the rules by which it is judged."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mimi_dynamics.pipeline.params import Name, Positive, Section, Share, load_settings

BETS_FILE = Path("bets.yaml")

Probability = Annotated[float, Field(gt=0, lt=1)]


class RuleParams(Section):
    """One condition of a bet: on which side of a threshold a whole interval must lie."""

    metrics: Name
    key: Name
    interval: bool
    side: Literal["above", "below"]
    threshold: Annotated[float, Field(allow_inf_nan=False)]


class BetParams(Section):
    """A claim, how likely it seemed before any result, and what would move that."""

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
    """How far from the truth the estimator may be where the truth is known."""

    least_recovered: Share
    most_null_nats_per_dim: Positive


class BetsParams(Section):
    """All of `bets.yaml`: the four bets, and when none of their verdicts counts."""

    controls: ControlLimits
    bet1: BetParams
    bet2: BetParams
    bet3: BetParams
    bet4: BetParams


def load_bets(path: Path = BETS_FILE) -> BetsParams:
    """Read and check the whole of `bets.yaml`.

    Raises:
        InputError: one line naming the file, the key, its value and what is allowed.
    """
    return load_settings(path, BetsParams)
