"""Fit the model of codes with and without the past, to real and to shuffled codes, and score it."""

import copy
import zlib
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from mimi_dynamics.density.fit import evaluated_splits
from mimi_dynamics.density.training import TrainingParams, diverging_named, fit, repeats_for
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.evidence.surrogates import shuffle
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.parallel import run_parallel
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.codes.data import CodeData, fit_frequencies
from mimi_dynamics.studies.codes.model import CodeModel

Nats = dict[str, np.ndarray]  # (scored, codebooks) minus the log-probability of codes, by split


def fit_all(data: CodeData, params: Params) -> dict[str, Nats]:
    """Fit everything that codes are scored by, and score it on the evaluated splits.

    First, a model without the past is trained. Then copies of it are trained on, one without the
    past, one with it, and one with the past of shuffled codes: they differ in nothing else.

    Args:
        data: the codes.
        params: all settings.

    Returns:
        The nats by what codes are scored by: `frequencies`, `within_frame`, `given_past` and
        `shuffled`. Rows are in the order of the batches; of `shuffled`, those of each clip are in
        another order.

    Raises:
        InputError: no clip of a split is long enough to have a target.
        DivergedError: a training loss is not finite.
    """
    first = max(NEXT_FRAME, data.warmup_frames)
    generator = torch.Generator().manual_seed(params.seed)
    shuffled = replace(data, sequences=shuffle(data.sequences, generator, first))
    bins = data.vectors.shape[1]
    log_frequencies = fit_frequencies(data.batches("train"), data.batches("validation"), bins)
    torch.manual_seed(_seed(params, "start"))
    start = CodeModel(data.vectors, log_frequencies, params.codes.width, params.codes.dropout)
    frequencies = score(start, data)
    _train(start, data, params, "start")
    jobs = {
        "within_frame": partial(_go_on, start, data, params, "within_frame"),
        "given_past": partial(_go_on, start, data, params, "given_past"),
        "shuffled": partial(_go_on, start, shuffled, params, "shuffled"),
    }
    results = run_parallel(jobs.values(), "fit codes")
    return {"frequencies": frequencies, **dict(zip(jobs, results, strict=True))}


def _go_on(start: CodeModel, data: CodeData, params: Params, name: str) -> Nats:
    """Train a copy of a model on, with the past unless it is `within_frame`, and score it."""
    torch.manual_seed(_seed(params, name))
    model = copy.deepcopy(start)
    if name != "within_frame":
        decoded = data.as_vectors()
        batches = decoded.batches("train"), decoded.batches("validation")
        var = fit_var(*batches, params.predict.var_order)
        model = start.with_past(var, params.codes.width, params.codes.dropout)
    _train(model, data, params, name)
    return score(model, data)


def _train(model: CodeModel, data: CodeData, params: Params, name: str) -> None:
    settings = params.codes
    train, validation = data.batches("train"), data.batches("validation")
    repeats = repeats_for(params.predict.min_steps, settings.epochs, len(train))
    epochs = settings.pretrain_epochs if name == "start" else settings.epochs
    training = TrainingParams(settings.lr, repeats * epochs, anneal=name != "start")
    with diverging_named(f"codes, {name}"):
        generator = torch.Generator().manual_seed(_seed(params, name))
        fit(model, train, validation, training, generator)


def _seed(params: Params, name: str) -> int:
    return zlib.crc32(f"{params.seed} codes {name}".encode())


def score(model: CodeModel, data: CodeData) -> Nats:
    """Give minus the log-probability of every code of every scored frame, in nats.

    Args:
        model: the model; it is put into evaluation mode.
        data: the codes.

    Returns:
        (scored, codebooks) by evaluated split, in the order of its batches.
    """
    model.eval()
    with torch.no_grad():
        return {
            split: np.concatenate([-model.log_probs(of).numpy() for of in data.batches(split)])
            for split in evaluated_splits(data.sequences)
        }
