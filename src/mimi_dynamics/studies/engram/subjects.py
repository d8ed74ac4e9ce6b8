"""The sequences on which a memory is tried: raw frames x and the state z_dyn, with their keys."""

from pathlib import Path

import numpy as np
import torch

from mimi_dynamics.density.var import fit_var
from mimi_dynamics.latents.sequences import Sequences, make_batches
from mimi_dynamics.latents.states import make_candidate, read_states, update_index
from mimi_dynamics.latents.store import Latents
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.studies.engram.keys import Keys, make_keys
from mimi_dynamics.studies.engram.model import Shape
from mimi_dynamics.studies.engram.study import Subject, noise_keys


def make_subjects(params: Params, latents: Latents, data: Sequences) -> list[Subject]:
    """Make the subjects raw x and state, each with its keys.

    Raises:
        InputError: if the states belong to other clips than the latents.
    """
    states, clips = read_states(Path("data/states"))
    stride = params.rssm.state_stride
    updates, newest = update_index(data.lengths, stride)
    if not np.array_equal(clips, latents.clip_ids) or len(states) != len(updates):
        raise InputError("data/states: of other clips than data/latents; run the stage rssm")
    held = torch.from_numpy(states[newest])
    state = make_candidate("z_dyn", data, held, stride, params.seed).updates
    codes = first_codes(latents, params)
    return [
        make_subject("raw", data, codes, params),
        make_subject("z_dyn", state, codes[updates], params),
    ]


def first_codes(latents: Latents, params: Params) -> np.ndarray:
    """Give the (frames,) codes of the first codebook; where there are none, zeros that no key uses.

    Raises:
        InputError: they are to be keys, and there are none.
    """
    if latents.codes.shape[1]:
        return latents.codes[:, 0]
    if params.engram.keys == "codebook":
        raise InputError("engram.keys = 'codebook': must be another: these latents have no codes")
    return np.zeros(len(latents.values), np.int16)


def make_subject(name: str, data: Sequences, codes: np.ndarray | None, params: Params) -> Subject:
    """Make a subject with its keys.

    Args:
        name: name of the subject.
        data: the clips.
        codes: (frames,) codes of the first codebook of the codec; None if keys need none.
        params: all settings.
    """
    settings = params.engram
    sizes = settings.cells, settings.least_count
    return with_keys(
        name, data, codes, make_keys(settings.keys, data, codes, *sizes, params.seed), params
    )


def with_keys(
    name: str, data: Sequences, codes: np.ndarray | None, keys: Keys, params: Params
) -> Subject:
    """Make a subject whose keys are known; see `make_subject`."""
    scale = params.engram.key_noise
    noisy = noise_keys(data, keys, scale, params.seed) if scale else None
    return Subject(name, data, keys, noisy, params.predict, codes)


def make_shape(subject: Subject, params: Params) -> Shape:
    """Fit what all models of a subject share."""
    size = params.predict.warmup_frames, params.predict.batch_frames
    learned, validation = (
        make_batches(subject.data.select(split), NEXT_FRAME, *size)
        for split in ("train", "validation")
    )
    var, gaussian = (fit_var(learned, validation, order) for order in (params.predict.var_order, 0))
    settings = params.engram, params.predict, params.compute
    return Shape(var, gaussian, subject.keys.count, *settings)
