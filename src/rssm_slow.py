"""Is a state that is updated at half the rate of the frames easier to predict?

Trains and measures its models as stage `rssm` does, and sets them beside rivals at the same rate.

    python src/rssm_slow.py      (by make studies; DVC leaves this stage as it is)

Reads data/latents/, models/normalizer.safetensors and the codec.
Writes metrics/detail/rssm_slow.json.
"""

from mimi_dynamics.latents.loading import load
from mimi_dynamics.pipeline.params import Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.studies import study_settings, write_study
from mimi_dynamics.studies.rssm.run import SECTIONS, run_rssm, with_models


def rssm_slow(params: Params) -> None:
    """Run the study."""
    params = with_models(params, params.rssm_slow)
    _, normalizer, data = load(params)
    _, _, metrics = run_rssm(params, data, normalizer)
    write_study("rssm_slow", metrics, study_settings(params, (*SECTIONS, "rssm_slow")))


if __name__ == "__main__":
    run_stage(rssm_slow)
