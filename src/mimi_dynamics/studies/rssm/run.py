"""The whole factorisation, for the stage and for its studies: train, choose, generate, decode."""

import torch

from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.params import Params, RssmSweepParams
from mimi_dynamics.studies.rssm.metrics import generation_metrics, rssm_metrics
from mimi_dynamics.studies.rssm.study import decode, score_generation
from mimi_dynamics.studies.rssm.sweep import Sweep, run_sweep

# Sections of params.yaml on which the results of a study depend, besides its own section.
SECTIONS = ("codec", "head", "horizons", "latents", "predict", "rollout", "rssm", "seed")


def run_rssm(
    params: Params, data: Sequences, normalizer: Normalizer, *, decodable: bool = True
) -> tuple[Sweep, str, dict[str, object]]:
    """Train and measure the models of the section `rssm`.

    Args:
        params: all settings.
        data: the frames x of every split.
        normalizer: maps these coordinates to latents.
        decodable: whether there is a decoder of these latents.

    Returns:
        The sweep with everything trained and measured, the name of the chosen model, and the
        metrics.

    Raises:
        InputError: if a state has more coordinates than the frames.
    """
    sweep, chosen = run_sweep(params, data, torch.from_numpy(normalizer.scale).float())
    table = score_generation(sweep, chosen)
    draws = params.predict.bootstrap_samples
    metrics = rssm_metrics(sweep, chosen) | {
        "generation": generation_metrics(table, draws, params.seed),
    }
    if decodable:
        metrics["log_mel_distance"] = decode(params, sweep, chosen, normalizer)
    return sweep, chosen, metrics


def with_models(params: Params, models: RssmSweepParams) -> Params:
    """Give all settings, with the models of a study in place of those of the stage."""
    rssm = params.rssm.model_copy(update=models.model_dump())
    return params.model_copy(update={"rssm": rssm})
