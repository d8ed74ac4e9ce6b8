"""The studies by which bets are judged. One counts if it is of today's codec, clips and settings.

What latents are byte for byte does not matter: they differ from processor to processor.
"""

from collections.abc import Mapping
from typing import Any

from mimi_dynamics.pipeline.metrics import DETAIL_FOLDER, Metrics, detail_path, read_metrics
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.studies import DIFFERENT, differing, in_words
from mimi_dynamics.report.rules import BetsParams

# The row of the run's own codec, whose origin is that of the run.
OWN_ROW = DETAIL_FOLDER / "codec_rows" / "codec.json"
DIFFERS = "differs"  # in place of the metrics of a study: what it was made with that is other today


def read_studies(bets: BetsParams, params: Params) -> dict[str, Metrics]:
    """Read all studies that rules of any date name and that have been run, by name.

    Args:
        bets: the bets as they were written down.
        params: all settings.

    Returns:
        The metrics of each study; of one that is not of today, `DIFFERS` alone.

    Raises:
        InputError: a file is not readable.
    """
    rules = [of for bet in bets.bets.values() for of in bet.rules.values()]
    names = dict.fromkeys(of.metrics for of in rules if of.study)
    found: dict[str, Metrics] = {}
    for name in names:
        if detail_path(name).exists():
            study = read_metrics(detail_path(name))
            told = differing(study, todays_origin(), params)
            found[name] = {DIFFERS: in_words(told)} if told else study
    return found


def todays_origin() -> dict[str, str]:
    """Give the hashes of the codec's weights and of the clips of this run; none if not known."""
    return read_metrics(OWN_ROW).get("origin", {}) if OWN_ROW.exists() else {}


def origin_sentence(
    study: Mapping[str, Any], params: Params, origin: Mapping[str, str | None] | None = None
) -> str:
    """Say in Markdown whether a study is of the weights, clips and settings of today.

    Args:
        study: the content of its file.
        params: all settings of today.
        origin: what it would be of today; None for the run's codec and clips.
    """
    told = differing(study, todays_origin() if origin is None else origin, params)
    if not told:
        return "It is of today's weights, clips and settings."
    listed = ", ".join(what if what in DIFFERENT.values() else f"`{what}`" for what in told)
    return f"It is not all of today, but was made with {listed}."
