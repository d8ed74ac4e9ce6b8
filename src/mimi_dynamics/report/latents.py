"""What stages found about the latents themselves: structure and recurrence."""

from mimi_dynamics.report.formatting import cell, number, percent, side, words
from mimi_dynamics.report.metrics_file import Metrics, measured
from mimi_dynamics.report.parts import Section, Table


def structure_section(metrics: Metrics) -> Section:
    """How much past and capacity the gain takes, and where it lives."""
    contexts = [key for key in sorted(metrics["context"]) if key != "all"]
    shortest = contexts[0]
    past = frames_of(shortest)
    share = percent(measured(metrics, f"context.{shortest}.share").value)
    loudness = measured(metrics, "loudness_only.gain_nats_per_dim")
    beyond = measured(metrics, "beyond_loudness.gain_nats_per_dim")
    sound = "by_effect_on_sound"
    plain, weighted = (
        measured(metrics, f"{sound}.{of}_gain_nats_per_dim") for of in ("plain", "weighted")
    )
    audible = "less" if weighted.value < plain.value else "no less"
    sentence = (
        f"Knowing {past} of the past is worth {share} of knowing all of it. Frames that keep only "
        f"the course of loudness gain {cell(loudness)}; {cell(beyond)} is beyond that. Where it "
        f"can be heard there is {audible} of it: {cell(weighted)} weighted by what each component "
        f"does to the sound, {cell(plain)} not weighted."
    )
    numbers = [
        number(metrics, f"context.{shortest}.share", f"of the gain, from {past}", "share"),
        number(metrics, "beyond_loudness.gain_nats_per_dim", "gain beyond loudness"),
        number(metrics, f"{sound}.plain_gain_nats_per_dim", "gain, mean over components"),
        number(metrics, f"{sound}.weighted_gain_nats_per_dim", "the same, weighted by effect"),
    ]
    sizes = {f"{frames_of(key)} of past": f"context.{key}" for key in contexts}
    sizes |= {"all of the past": "context.all"}
    sizes |= {f"{int(k[1:])} hidden units": f"width.{k}" for k in sorted(metrics["width"])}
    table = Table(
        "Gain on x by context and width",
        ("with", "gain, nats per dimension", "share of all"),
        [
            (
                label,
                cell(measured(metrics, f"{key}.gain_nats_per_dim")),
                cell(measured(metrics, f"{key}.share"), "share"),
            )
            for label, key in sizes.items()
        ],
    )
    return Section("structure", "What kind of structure?", sentence, numbers, [table])


def frames_of(key: str) -> str:
    """`c01` in words."""
    frames = int(key[1:])
    return f"{frames} frame" + ("s" if frames > 1 else "")


def recurrence_section(metrics: Metrics) -> Section:
    """Lookup of what came after similar moments."""
    key, metric = str(metrics["best"]["key"]), str(metrics["best"]["metric"])
    best = measured(metrics, f"{key}.{metric}.variance_reduction")
    over_shuffled = measured(metrics, "best.variance_reduction_over_shuffled")
    over_predictor = measured(metrics, "best.variance_reduction_over_predictor")
    recur = {1: "Patterns recur", 0: "Whether patterns recur is open", -1: "No patterns recur"}
    against = {1: "more than", 0: "about as much as", -1: "less than"}
    predictor = measured(metrics, "predictor.variance_reduction")
    sentence = (
        f"{recur[side(over_shuffled)]}: the mean of what came after similar moments of other "
        f"recordings explains {cell(best, 'share')} of the variance of the next latent, "
        f"{against[side(over_predictor)]} the trained predictor ({percent(predictor.value, 1)})."
    )
    numbers = [
        number(
            metrics, f"{key}.{metric}.variance_reduction", f"{words(key)} key, {metric}", "share"
        ),
        number(metrics, "best.variance_reduction_over_shuffled", "beyond shuffled frames", "share"),
        number(metrics, "predictor.variance_reduction", "trained predictor", "share"),
        number(metrics, "pooled.exact.variance_reduction", "key of an earlier test", "share"),
    ]
    return Section("recurrence", "Do patterns recur?", sentence, numbers, [])
