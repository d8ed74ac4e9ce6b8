"""How well can the latent k frames ahead be predicted? This stage handles one distance k.

Fits p(x_{t+k} | x_{≤t}) and p(x_{t+k}) to the real latents and to the same frames shuffled within
each clip. Also fits a linear model in closed form, both to x and to its change, on the real
latents and on frames permuted over the whole corpus. Stage `horizons` compares the scores of all
distances.

    python src/horizon.py 4      (or: dvc repro horizon@4)

Reads data/latents/ and models/normalizer.safetensors.
Writes models/horizons/k4.safetensors and data/horizons/k4.safetensors.
"""

from dataclasses import replace
from pathlib import Path

import torch

from mimi_dynamics.density.fit import LINEAR_BASELINE, FitSpec, check_horizon
from mimi_dynamics.density.predictor import save_predictor
from mimi_dynamics.evidence.gains import fit_many
from mimi_dynamics.evidence.surrogates import reorderings
from mimi_dynamics.latents.loading import read_data
from mimi_dynamics.pipeline.distributed import is_main_process
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.tensors import write_tensors


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
    rows = reorderings(real, torch.Generator().manual_seed(params.seed))
    jobs = [template, replace(template, row="shuffled", sequences=rows["shuffled"])]
    for row, data in (("real", real), ("permuted", rows["permuted"])):
        linear = replace(template, row=row, sequences=data, head=LINEAR_BASELINE)
        jobs += [linear, replace(linear, delta=True)]
    fits = fit_many(jobs)
    if not is_main_process():
        return

    info = {"head": params.head, "horizon": frames, **params.predict.model_dump()}
    predictor = fits["real", params.head, "conditional"].predictor
    save_predictor(predictor, Path(f"models/horizons/k{frames}.safetensors"), info)
    nll = {
        f"{split}.{row}.{head}.{density}": torch.from_numpy(values)
        for (row, head, density), fitted in fits.items()
        for split, values in fitted.nll.items()
    }
    write_tensors(Path(f"data/horizons/k{frames}.safetensors"), nll, info)


if __name__ == "__main__":
    run_stage(horizon, shared=True, frames=int)
