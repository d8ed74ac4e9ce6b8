"""The study as tables: what each set got, and how every measure ranks the sets."""

from collections.abc import Mapping

import pandas as pd

from mimi_dynamics.studies.ranking.correlations import OUTCOMES, rank
from mimi_dynamics.studies.ranking.measures import MEASURES
from mimi_dynamics.studies.ranking.sets import SETS


def sets_table(sets: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Give a row for each set: `set`, `label`, all measures and all outcomes, those known.

    Args:
        sets: measures and outcomes by name of the set.
    """
    columns = [*MEASURES, *OUTCOMES]
    rows = [
        {"set": name, "label": SETS[name].label} | {key: of.get(key) for key in columns}
        for name, of in sets.items()
    ]
    return pd.DataFrame(rows)


def ranks_table(sets: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Give a row for each measure and outcome: `rho`, `rho_low`, `rho_high` and `sets`.

    Args:
        sets: measures and outcomes by name of the set.
    """
    rows = [
        {"outcome": outcome, "measure": measure, "label": MEASURES[measure].label} | dict(of)
        for outcome, by_measure in rank(sets).items()
        for measure, of in by_measure.items()
    ]
    columns = ["outcome", "measure", "label", "rho", "rho_ci_low", "rho_ci_high", "sets"]
    table = pd.DataFrame(rows, columns=columns)
    return table.rename(columns=lambda column: column.replace("_ci", ""))
