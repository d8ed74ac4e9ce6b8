"""Tables have a row for each set and each measure, whether or not it is known, and are drawn."""

from mimi_dynamics.figures.ranking import OUTCOMES as DRAWN
from mimi_dynamics.figures.ranking import ranking_figure
from mimi_dynamics.studies.ranking.correlations import OUTCOMES
from mimi_dynamics.studies.ranking.measures import MEASURES
from mimi_dynamics.studies.ranking.sets import SETS
from mimi_dynamics.studies.ranking.tables import ranks_table, sets_table

KNOWN = {
    name: {key: of.sign * float(number) for key, of in (MEASURES | OUTCOMES).items()}
    for number, name in enumerate(SETS)
}
del KNOWN["stacked"]["speech_borne_gain_nats_per_dim"]


def test_rows() -> None:
    sets, ranks = sets_table(KNOWN), ranks_table(KNOWN)
    assert list(sets["set"]) == list(SETS)
    assert sets["speech_borne_gain_nats_per_dim"].isna().sum() == 1
    assert len(ranks) == len(MEASURES) * len(OUTCOMES)
    assert (ranks["rho"] > 0.999).all()
    assert set(ranks["sets"]) == {len(SETS), len(SETS) - 1}


def test_a_figure_of_all_sets_and_of_too_few() -> None:
    assert OUTCOMES.keys() >= DRAWN.keys()
    for few in (len(SETS), 2):
        sets = {name: KNOWN[name] for name in list(SETS)[:few]}
        left, right = ranking_figure(ranks_table(sets), sets_table(sets)).axes
        assert len(left.get_yticklabels()) == len(MEASURES)
        assert len(right.texts) == 2 * few  # a number each, and a line of the list
