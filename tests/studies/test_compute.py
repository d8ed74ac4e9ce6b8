"""`compute.device` reaches whatever trains, draws or codes: where there is no GPU, it is missed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimi_dynamics.codec.loading import load_codec
from mimi_dynamics.generation.continuations import listen
from mimi_dynamics.generation.generator import Generator, Grid
from mimi_dynamics.generation.rollouts import choose_starts, linear_floor
from mimi_dynamics.generation.scores import draw_all, score_forecasts
from mimi_dynamics.latents.states import make_candidate
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import ComputeParams
from mimi_dynamics.studies.calm.factorised import (
    OursJob,
    PredictorJob,
    train_ours,
    train_predictor,
)
from mimi_dynamics.studies.calm.training import train_calm
from mimi_dynamics.studies.engram.comparison import compare
from mimi_dynamics.studies.engram.keys import Keys
from mimi_dynamics.studies.engram.study import Subject
from mimi_dynamics.studies.rssm.baselines import fit_vae
from mimi_dynamics.studies.rssm.measures import Measure, read_frames
from mimi_dynamics.studies.rssm.sweep import run_sweep
from mimi_dynamics.studies.rssm.training import RssmJob, encode_states, train_rssm
from tests.density.test_fit import SMALL
from tests.generation.test_rollouts import DIM, known_var
from tests.harness.simulation import simulate
from tests.studies.calm.test_calm import job_of, small
from tests.studies.rssm.test_rssm import untrained

CUDA = ComputeParams(device="cuda", dtype="float32", compile=False)
PARAMS = small().model_copy(update={"compute": CUDA})
DATA = simulate("linear", 3000, DIM)
RSSM = PARAMS.rssm.model_copy(update={"state_dims": [2], "budgets": [1.0]})
VAR = {"var": Generator(linear_floor(known_var()), DATA)}
TEST = DATA.select("test")
GRID = Grid(DATA, "test", choose_starts(TEST, 4, 12, 40, 8), [1, 8], 2, 0)
KEYS = Keys(np.zeros(len(DATA.frames), np.int64), 1)
MEASURE = Measure(make_candidate("raw", DATA, DATA.frames, 1, 0), DATA, "gaussian", 1, SMALL, 0)

WORK: dict[str, Callable[[], object]] = {
    "sweep": lambda: run_sweep(PARAMS.model_copy(update={"rssm": RSSM}), DATA, torch.ones(DIM)),
    "rssm": lambda: train_rssm(RssmJob(DATA, 2, 1.0, RSSM, 1, 0, CUDA)),
    "states": lambda: encode_states(untrained(dim=DIM), DATA, CUDA),
    "vae": lambda: fit_vae(DATA, 2, RSSM, 0, CUDA),
    "readout": lambda: read_frames(replace(MEASURE, compute=CUDA)),
    "engram": lambda: compare(PARAMS, [Subject("raw", DATA, KEYS, None, PARAMS.predict)]),
    "calm": lambda: train_calm(job_of(DATA, PARAMS, 6000, 0)),
    "ours": lambda: train_ours(OursJob(DATA, PARAMS, 2, 1.0, 0)),
    "predictor": lambda: train_predictor(PredictorJob(DATA, PARAMS, 8, 0)),
    "paths": lambda: draw_all(VAR, GRID, CUDA),
    "forecasts": lambda: score_forecasts(VAR, {}, GRID, "test", CUDA),
    "sounds": lambda: listen(PARAMS, VAR, TEST, np.arange(len(TEST.lengths)).astype(str), len),
    "codec": lambda: load_codec(PARAMS.codec, CUDA),
}


@pytest.mark.parametrize("name", WORK)
def test_a_gpu_that_is_not_there_is_missed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"^compute\.device = 'cuda': CUDA devices here: 0"):
        WORK[name]()
