"""How well can the latent k frames ahead be predicted? This stage handles one distance k.

Fits p(x_{t+k} | x_{≤t}), p(x_{t+k}) and the density of the change, p(x_{t+k} − x_t), to the real
latents, and the first two to the same frames shuffled within each clip. One frame ahead, which is
what bet 1 reads, it does so `trainings` times with a seed each. Frames permuted over the whole
corpus show what the change gains without any dynamics. Also fits a linear model in closed form,
both to x and to its change, on real and on permuted frames. Stage `horizons` compares the scores of
all distances.

    python src/horizon.py 4      (or: dvc repro horizon@4)

Reads data/latents/ and models/normalizer.safetensors.
Writes models/horizons/k4.safetensors, which is the first training's, and
data/horizons/k4.safetensors.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from mimi_dynamics.density.devices import on_device
from mimi_dynamics.density.fit import (
    LINEAR_BASELINE,
    WITH_MARGINAL,
    WITHOUT_NETWORK,
    FitSpec,
    batches_of,
    check_horizon,
    evaluated_splits,
)
from mimi_dynamics.density.predictor import Predictor, save_predictor
from mimi_dynamics.density.stacking import stack
from mimi_dynamics.density.training import losses
from mimi_dynamics.density.trunk import Trunk
from mimi_dynamics.evidence.gains import STACK, Fits, experts, fit_trainings, stacks
from mimi_dynamics.evidence.scores import write_fits
from mimi_dynamics.evidence.surrogates import reorderings
from mimi_dynamics.latents.loading import read_data
from mimi_dynamics.latents.sequences import Sequences, in_memory
from mimi_dynamics.pipeline.conventions import NEXT_FRAME
from mimi_dynamics.pipeline.distributed import is_main_process
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage


def horizon(params: Params, frames: int) -> None:
    """Run the stage for one distance.

    Args:
        params: all settings.
        frames: the distance k, in frames of 80 ms.
    """
    real = read_data(params)
    template = FitSpec(
        "real", real, params.head, frames, params.predict, params.seed, compute=params.compute
    )
    check_horizon(template)
    rows = {"real": real} | reorderings(real, template.first, template.seed)
    trainings = params.trainings if frames == NEXT_FRAME else 1
    fits = fit_trainings(jobs_of(template, rows, trainings))
    if not is_main_process():
        return

    shared = {key: fitted for key, fitted in fits[0].items() if key[1] in WITHOUT_NETWORK}
    fits = [of | stacks(of | shared, params.head) for of in fits]
    fits[0] |= stacks_of_permuted(replace(template, sequences=rows["permuted"]), fits[0])
    info = {"head": params.head, "horizon": frames, **params.predict.model_dump()}
    predictor = weightiest(fits[0], params.head)
    save_predictor(predictor, Path(f"models/horizons/k{frames}.safetensors"), info)
    write_fits(frames, fits, info)


def jobs_of(
    template: FitSpec, rows: Mapping[str, Sequences], trainings: int
) -> list[list[FitSpec]]:
    """List the fits of each training; the first also has those that are done only once.

    Args:
        template: the fit of the real latents in the first training.
        rows: the data by name.
        trainings: number of trainings. Each has a seed of its own, one more than the one before.
    """
    permuted = replace(template, row="permuted", sequences=rows["permuted"])
    shuffled = replace(template, row="shuffled", sequences=rows["shuffled"])
    repeated = [template, shuffled, replace(template, delta=True)]
    once = [replace(job, head=head) for job in repeated for head in WITHOUT_NETWORK]
    blind = [replace(permuted, head=head) for head in WITH_MARGINAL]
    once += [*blind, *(replace(job, delta=True) for job in [permuted, *blind])]
    jobs = [[replace(job, seed=job.seed + n) for job in repeated] for n in range(trainings)]
    return [jobs[0] + once, *jobs[1:]]


def weightiest(fits: Fits, head: str) -> Predictor:
    """Give the model of a head that has more weight in the stack, as a density given the past.

    Where the past tells nothing that is the marginal: the conditional one with its gate shut.

    Args:
        fits: fits and stacks of one training.
        head: name of the head.
    """
    given_past, marginal = (fits["real", head, of].network for of in ("conditional", "marginal"))
    weights = fits["real", STACK, "conditional"].weights
    if sum(weights[of] for of in experts(head)) >= 0.5:
        return given_past
    blind = copy.deepcopy(given_past)
    blind.head = copy.deepcopy(marginal.head)
    if not isinstance(blind.trunk, Trunk):
        raise TypeError(f"{type(blind.trunk).__name__} has no gate to shut")
    nn.init.zeros_(blind.trunk.gate)
    return blind


def stacks_of_permuted(job: FitSpec, fits: Fits) -> Fits:
    """Stack the densities of permuted frames and of their change.

    The past of a permuted frame tells nothing, so that the best density given the past is the
    marginal; and that is the one of real frames, which are the same. Nothing has to be trained.

    Args:
        job: the fit of the head to permuted frames.
        fits: fits of one training.
    """
    marginal = fits["real", job.head, "marginal"]
    splits = "validation", *evaluated_splits(job.sequences)
    with on_device(marginal.network, job.compute):
        nll = {
            split: losses(marginal.network, in_memory(batches_of(job, split))).cpu().numpy()
            for split in splits
        }
    row, weighs = "permuted", fits["permuted", LINEAR_BASELINE, "marginal"].weighs
    own = {
        "marginal": replace(marginal, nll=nll, weighs=weighs),
        "delta_marginal": fits[row, job.head, "delta_marginal"],
    }
    return {
        (row, STACK, density): stack(
            {job.head: of_head} | {of: fits[row, of, density] for of in WITH_MARGINAL}
        )
        for density, of_head in own.items()
    }


if __name__ == "__main__":
    run_stage(horizon, shared=True, frames=int)
