"""The script judges every set, goes on where it was stopped, and names a set it does not know."""

import json
from pathlib import Path

import pytest

import ranking_study
from mimi_dynamics.latents.loading import Loaded
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.codec_row.subjects import encode_anew
from mimi_dynamics.studies.ranking import sets
from mimi_dynamics.studies.ranking.correlations import OUTCOMES
from mimi_dynamics.studies.ranking.measures import MEASURES
from mimi_dynamics.studies.ranking.sets import SetSpec, stacked, unchanged
from tests.studies.codec_row.fake_codec import DIM, write_speech
from tests.studies.codec_row.test_gains import settings
from tests.studies.ranking.carrier import CarrierCodec

FILE = Path("metrics/detail/ranking_study.json")
FEW = {
    "codec": SetSpec("codec", DIM, unchanged, "the codec"),
    "stacked": SetSpec("codec", DIM, stacked, "2 frames a step"),
}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Speech of 3 coordinates, a codec that decodes them, and small models on one core."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    monkeypatch.setattr(sets, "codec_of", lambda *_: CarrierCodec(DIM))
    monkeypatch.setattr(ranking_study, "weights_of", lambda *_: "weights")
    monkeypatch.setattr(sets, "SETS", FEW)
    params = settings()
    study = params.ranking_study.model_copy(
        update={
            "sets": list(FEW),
            "parameters": 20000,
            "epochs": 1,
            "starts": 30,
            "samples": 2,
            "width": 16,
        }
    )
    params = params.model_copy(update={"ranking_study": study})
    clips = {"train": 40, "validation": 10, "test": 20, "test_voice": 10}
    manifest = write_speech(tmp_path / "data/audio", clips, 65)
    manifest.to_parquet("data/manifest.parquet")
    loaded: Loaded = encode_anew(CarrierCodec(DIM), manifest, params, Path("work"))
    monkeypatch.setattr(ranking_study, "load", lambda _: loaded)
    return params


@pytest.mark.trains
@pytest.mark.slow
def test_the_script_judges_every_set_and_goes_on(
    workplace: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking_study.ranking_study(workplace)
    first = FILE.read_bytes()
    written = json.loads(first)
    assert written["set"].keys() == FEW.keys()
    of = written["set"]["codec"]
    assert of.keys() >= MEASURES.keys() | OUTCOMES.keys()
    assert of["frechet_trainings"] == workplace.ranking_study.trainings
    assert written["set"]["stacked"].keys() >= OUTCOMES.keys()
    assert "speech_borne_gain_nats_per_dim" not in written["set"]["stacked"]
    assert Path("plots/ranking_study.csv").exists()
    assert written["rank_correlation"]["frechet"]["r2"] == {"sets": 2}

    def never(*_: object) -> None:
        pytest.fail("encoded again")

    monkeypatch.setattr(ranking_study, "encode_row", never)
    ranking_study.ranking_study(workplace)
    assert FILE.read_bytes() == first
    one = workplace.ranking_study.model_copy(update={"sets": ["codec"]})
    ranking_study.ranking_study(workplace.model_copy(update={"ranking_study": one}))
    assert json.loads(FILE.read_bytes())["set"]["codec"] == of
    next(Path("runs/ranking_study").glob("*/stacked.measured.json")).unlink()
    with pytest.raises(pytest.fail.Exception, match="encoded again"):
        ranking_study.ranking_study(workplace)


def test_a_set_that_is_not_known_is_told(workplace: Params) -> None:
    study = workplace.ranking_study.model_copy(update={"sets": ["opus"]})
    with pytest.raises(InputError, match="'opus': must be one of codec, stacked"):
        ranking_study.ranking_study(workplace.model_copy(update={"ranking_study": study}))
    assert not FILE.exists()
