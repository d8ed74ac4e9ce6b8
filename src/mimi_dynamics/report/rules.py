"""The model of `bets.yaml`: what each bet claims, and the rules by which it is judged."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from mimi_dynamics.pipeline.settings import (
    Count,
    Name,
    Positive,
    Section,
    Share,
    load_settings,
)

BETS_FILE = Path("bets.yaml")


def _date_in_quotes(text: object) -> object:
    try:
        same = isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        same = False
    if not same:
        raise ValueError("must be a date in quotes, such as '2026-11-28'")
    return text


Probability = Annotated[float, Field(gt=0, lt=1)]
Day = Annotated[str, BeforeValidator(_date_in_quotes)]


class Condition(Section):
    """One condition: on which side of a threshold a number must lie.

    Attributes:
        key: dotted key of a metric.
        end: the end of its 95 % interval, which it must have then, or its value.
        side: the side of the threshold. Of an equal number `at_least` and `at_most` are true.
        threshold: the number to compare with.
    """

    key: Name
    end: Literal["low", "high", "value"]
    side: Literal["above", "at_least", "below", "at_most"]
    threshold: Annotated[float, Field(allow_inf_nan=False)]


class Lack(Section):
    """A metric that some runs do not have.

    Attributes:
        key: dotted key of the metric, or of a dict that it lies in.
        means: why the bet is not measured without it, in words.
    """

    key: Name
    means: Name


Conditions = Annotated[list[Condition], Field(min_length=1)]
Ways = Annotated[list[Conditions], Field(min_length=1)]


class RulesParams(Section):
    """The rules of one date, by which a bet is judged.

    Attributes:
        note: what a reader of the verdict must know of the rules; may be empty.
        before_result: whether they were written down before any of their results.
        metrics: name of the stage or the study whose metrics they read.
        study: whether it is a study.
        trainings_at_least: how many trainings the metrics must be of.
        power: P(supported | bet true, decided).
        power_measured: whether the power was measured, and not assumed.
        false_alarm: P(supported | bet false, decided).
        false_alarm_measured: whether the false-alarm rate was measured, and not assumed.
        premise: the bet without which this one means little, or `none`.
        counts_if: conditions without which nothing was measured.
        may_lack: metrics that some runs do not have.
        supported_if: lists of conditions; the bet is supported if all of any one list hold.
        contradicted_if: the same for a bet that is contradicted.
    """

    note: str
    before_result: bool
    metrics: Name
    study: bool
    trainings_at_least: Count
    power: Probability
    power_measured: bool
    false_alarm: Probability
    false_alarm_measured: bool
    premise: Literal["none", "bet1", "bet2", "bet3"]
    counts_if: list[Condition]
    may_lack: list[Lack]
    supported_if: Ways
    contradicted_if: Ways

    @property
    def likelihood_ratio(self) -> float:
        """How much likelier it is that a decided bet is supported if it is true than if not."""
        return self.power / self.false_alarm

    @property
    def conditions(self) -> list[Condition]:
        """All conditions, in the order of the file but with those of support first."""
        ways = [*self.supported_if, *self.contradicted_if, self.counts_if]
        return [condition for way in ways for condition in way]

    @model_validator(mode="after")
    def _informative(self) -> "RulesParams":
        if self.power <= self.false_alarm:
            raise ValueError(
                f"power = {self.power:g}: must be above false_alarm = {self.false_alarm:g}"
            )
        return self


class BetParams(Section):
    """A claim, its probability before any result, and the rules that can change it.

    Attributes:
        claim: the claim in words.
        prior: probability of the bet before any result.
        rules: the rules by the date on which they were written down.
    """

    claim: Name
    prior: Probability
    rules: Annotated[dict[Day, RulesParams], Field(min_length=1)]

    @property
    def dates(self) -> list[str]:
        """The dates of the rules, the latest first."""
        return sorted(self.rules, reverse=True)


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

    @property
    def bets(self) -> dict[str, BetParams]:
        """The bets by name, in their order: each builds on those before it."""
        return {"bet1": self.bet1, "bet2": self.bet2, "bet3": self.bet3, "bet4": self.bet4}

    @model_validator(mode="after")
    def _of_the_same_dates(self) -> "BetsParams":
        for name, bet in self.bets.items():
            if bet.dates != self.bet1.dates:
                raise ValueError(
                    f"{name}.rules are of {', '.join(bet.dates)}: must be of the same dates as "
                    f"those of bet1, {', '.join(self.bet1.dates)}"
                )
        return self


def load_bets(path: Path = BETS_FILE) -> BetsParams:
    """Read and check the whole of `bets.yaml`.

    Raises:
        InputError: a message of one line that names the file, the key, its value and what is
            allowed.
    """
    return load_settings(path, BetsParams)
