"""The contents of `metrics/detail/rssm.json` and the tables of its figure, made from a sweep."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.log_mel import heard_distance
from mimi_dynamics.codec.threads import in_threads
from mimi_dynamics.generation.scores import scores_of_each_lead
from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.pipeline.devices import CPU
from mimi_dynamics.studies.rssm.rates import bits_per_s
from mimi_dynamics.studies.rssm.sweep import RAW, RAW_LONG, RAW_SHUFFLED, SURROGATES, Sweep

COURSE_POINTS = 100  # number of rows for the course of each model


def model_metrics(sweep: Sweep, name: str, split: str) -> dict[str, object]:
    """Give the headline metrics of one model on one split, with intervals."""
    job = sweep.jobs[name]
    kl = sweep.diagnosis(name, split).kl.metrics("kl_nats_per_frame")
    return {
        "state_dim": job.state_dim,
        "budget_nats_per_frame": job.budget,
        **sweep.ease(name, split).metrics("ease"),
        **sweep.ease(RAW, split).metrics("raw_ease"),
        **sweep.fidelity(name, split).metrics("fidelity_r2"),
        **sweep.full_fidelity(name, split).metrics("full_fidelity_r2"),
        "latent_fidelity_r2": sweep.fidelity(name, split, "latent").value,
        "full_latent_fidelity_r2": sweep.full_fidelity(name, split, "latent").value,
        **sweep.above_frontier(name, split).metrics("ease_above_frontier"),
        **sweep.above_frontier(name, split, "latent").metrics("ease_above_latent_frontier"),
        **sweep.sufficiency(name, split).metrics("sufficiency"),
        **kl,
        "innovation_bits_per_s": bits_per_s(kl["kl_nats_per_frame"], sweep.data.frame_rate),
    }


def sweep_metrics(sweep: Sweep, name: str) -> dict[str, object]:
    """Give the metrics of one model of the sweep on test, including signs of collapse."""
    diagnosis, signs = sweep.diagnosis(name, "test"), sweep.signs(name)
    return {
        **model_metrics(sweep, name, "test"),
        "collapsed": int(any(signs.values())),
        "signs_of_collapse": signs,
        "active_units": {"z_rec": diagnosis.active_rec, "z_dyn": diagnosis.active_state},
        "reconstruction_r2": diagnosis.r2,
        "multiplier": sweep.trained[name].course.multiplier[-1],
    }


def rssm_metrics(sweep: Sweep, chosen: str) -> dict[str, object]:
    """Give the contents of `metrics/detail/rssm.json` that need no decoding or generation."""
    metrics = sweep_metrics(sweep, chosen)
    surrogates = {row: sweep.ease(row, "test").metrics("ease") for row in SURROGATES}
    surrogates["shuffled"] |= sweep.ease(RAW_SHUFFLED, "test").metrics("raw_ease")
    dynamic = sweep.ease(chosen, "test").beyond(sweep.ease("shuffled", "test"))
    raw_dynamic = sweep.ease(RAW, "test").beyond(sweep.ease(RAW_SHUFFLED, "test"))
    longer = sweep.sufficiency(chosen, "test", RAW_LONG)
    metrics |= {
        "chosen": chosen,
        "collapsed_models": sum(sweep.collapsed(name) for name in sweep.jobs),
        "state_stride": sweep.params.rssm.state_stride,
        "surrogates": surrogates,
        **dynamic.metrics("dynamic_ease"),
        **raw_dynamic.metrics("raw_dynamic_ease"),
        **(dynamic - raw_dynamic).metrics("dynamic_ease_over_raw"),
        **longer.metrics("long_lead_sufficiency"),
        "long_lead": sweep.params.rssm.long_lead,
        "rivals": {
            name: {
                **sweep.ease(name, "test").metrics("ease"),
                **sweep.fidelity(name, "test").metrics("fidelity_r2"),
                "latent_fidelity_r2": sweep.fidelity(name, "test", "latent").value,
            }
            for name in dict.fromkeys(n for names in sweep.rivals.values() for n in names)
        },
        "sweep": {name: sweep_metrics(sweep, name) for name in sweep.jobs},
    }
    if "test_voice" in sweep.bootstraps:
        metrics["test_voice"] = model_metrics(sweep, chosen, "test_voice")
    return metrics


def generation_metrics(table: pd.DataFrame, samples: int, seed: int) -> dict[str, object]:
    """Give by lead the energy scores of free-running samples, through z_dyn and of raw x.

    Args:
        table: the table of `score_generation`.
        samples: number of bootstrap draws.
        seed: seed of the draws.
    """
    metrics: dict[str, object] = {}
    for lead, scores in scores_of_each_lead(table, samples, seed).items():
        energy: dict[str, float] = {}
        for row in ("rssm", RAW, "climatology"):
            energy |= scores.at(row, lead).metrics(row)
        over_raw = scores.at("rssm", lead) - scores.at(RAW, lead)
        metrics[f"k{lead}"] = {
            "energy_score": energy,
            **over_raw.metrics("score_over_raw"),
            **scores.skill("rssm", lead).metrics("skill"),
            "starts": scores.counts(lead)["starts"],
        }
    return metrics


def frontier_table(sweep: Sweep, chosen: str) -> pd.DataFrame:
    """Make a table of fidelity and ease of every candidate on test, one row each.

    For raw x and for the chosen state, it also has the ease on frames shuffled within each clip.
    """
    shuffled = {RAW: RAW_SHUFFLED, chosen: "shuffled"}
    shuffled_ease = {name: sweep.ease(row, "test").value for name, row in shuffled.items()}
    rows = []
    for dim, names in sweep.rivals.items():
        models = [name for name, job in sweep.jobs.items() if job.state_dim == dim]
        for name in [*names, *models]:
            job = sweep.jobs.get(name)
            rows.append(
                {
                    "candidate": name.removeprefix(f"dim{dim}_"),
                    "state_dim": dim,
                    "kind": "state" if job else "rival",
                    "collapsed": int(bool(job) and sweep.collapsed(name)),
                    "chosen": int(name == chosen),
                    **sweep.fidelity(name, "test").metrics("fidelity"),
                    **sweep.ease(name, "test").metrics("ease"),
                    "latent_fidelity": sweep.fidelity(name, "test", "latent").value,
                    "shuffled_ease": shuffled_ease.get(name, math.nan),
                }
            )
    return pd.DataFrame(rows).rename(columns=lambda column: column.replace("_ci", ""))


def course_table(sweep: Sweep) -> pd.DataFrame:
    """Make a table of KL and multiplier of every model over training.

    Each row is a mean over a hundredth of the steps.
    """
    rows = []
    for name, job in sweep.jobs.items():
        course = sweep.trained[name].course
        steps = np.arange(len(course.kl))
        for part in np.array_split(steps, min(COURSE_POINTS, len(steps))):
            kl, multiplier = (np.array(values)[part] for values in (course.kl, course.multiplier))
            rows.append(
                {
                    "model": name,
                    "budget": job.budget,
                    "step": int(part[-1]) + 1,
                    "kl_nats_per_frame": kl.mean(),
                    "kl_over_budget": kl.mean() / job.budget,
                    "multiplier": math.exp(np.log(multiplier).mean()),
                }
            )
    return pd.DataFrame(rows)


DECODED_CLIPS = 32  # clips evenly spaced over the test split, which are two minutes of speech


def decoded_distances(
    codec: Codec, normalizer: Normalizer, test: Sequences, readings: dict[str, Tensor]
) -> dict[str, float]:
    """Give the mean log-mel distance to sound decoded from x itself, over some clips.

    Gated frames are decoded too, as the past of what follows, but their sound does not count.

    Args:
        codec: the codec of the latents.
        normalizer: maps coordinates to latents.
        test: the frames x of the test clips.
        readings: (frames, dim) other versions of these frames, by name.

    Returns:
        Distances in nepers by name.
    """
    versions = {"x": test.frames, **readings}
    ends = np.cumsum(test.lengths)
    heard = np.flatnonzero(test.reach)
    clips = heard[np.unique(np.linspace(0, len(heard) - 1, DECODED_CLIPS).astype(int))]

    def distances_of(clip: int) -> list[float]:
        part = slice(ends[clip] - test.lengths[clip], ends[clip])
        latents = [normalizer.restore(frames[part].numpy()) for frames in versions.values()]
        with torch.no_grad():
            stacked = torch.from_numpy(np.stack(latents)).to(codec.device)
            original, *others = codec.decode(stacked).to(CPU)
        gated = test.gated[part].numpy()
        return [heard_distance(other.flatten(), original.flatten(), gated) for other in others]

    columns = zip(*in_threads(distances_of, clips.tolist(), "decode"), strict=True)
    return {name: float(np.mean(of)) for name, of in zip(readings, columns, strict=True)}
