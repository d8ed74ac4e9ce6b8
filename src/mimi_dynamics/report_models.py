"""What each stage found, in words that follow its numbers: structure, free running and memory."""

from mimi_dynamics.bets import distances
from mimi_dynamics.figures import FRAME_MS
from mimi_dynamics.measured import Metrics, has, measured
from mimi_dynamics.report import Section, Sound, Table, cell, listed, number, percent
from mimi_dynamics.report_bets import words
from mimi_dynamics.report_sections import side


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


def rollout_section(metrics: Metrics, sounds: tuple[Sound, ...]) -> Section:
    """Free-running samples, to look at and to listen to."""
    leads = distances(metrics)
    survival = {k: measured(metrics, f"k{k}.survival") for k in leads}
    worst = min(leads, key=lambda k: survival[k].value)
    skilled = {
        row: FRAME_MS * round(measured(metrics, f"skill_horizon_frames.{row}").value)
        for row in ("rollout", "direct")
    }
    worse = [f"{FRAME_MS * k} ms" for k in leads if measured(metrics, f"k{k}.gap").low > 0]
    sentence = (
        f"Fed with its own samples for {leads[-1]} frames ({FRAME_MS * leads[-1] / 1000:.1f} s), "
        f"at least {cell(survival[worst], 'share')} of frames stay where train speech is. "
        f"Forecasts beat random frames up to {skilled['rollout']} ms ahead, those of predictors "
        f"trained for one distance up to {skilled['direct']} ms. "
    )
    if worse:
        sentence += f"Against those, free running loses at {listed(worse)}."
    else:
        sentence += "At no distance does it surely lose against those."
    numbers = [
        number(metrics, f"k{k}.skill.rollout", f"skill, {FRAME_MS * k} ms") for k in leads[:3]
    ]
    numbers.append(number(metrics, f"k{worst}.survival", "survival, least", "share"))
    table = Table(
        "By distance; skill 0 = random frames of speech, 1 = always right",
        ("ahead", "skill, free-running", "skill, one jump", "gap in energy score", "survival"),
        [
            (
                f"{FRAME_MS * k} ms",
                cell(measured(metrics, f"k{k}.skill.rollout")),
                cell(measured(metrics, f"k{k}.skill.direct")),
                cell(measured(metrics, f"k{k}.gap")),
                cell(survival[k], "share"),
            )
            for k in leads
        ],
    )
    return Section("rollout", "Does it run free?", sentence, numbers, [table], sounds)


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


def rssm_section(metrics: Metrics) -> Section:
    """An easy state and a local innovation."""
    above = measured(metrics, "ease_above_frontier")
    where = {1: "above", 0: "not surely above", -1: "below"}[side(above)]
    sentence = (
        f"At what it keeps of x (R² {measured(metrics, 'fidelity_r2').value:.2f}) the state is "
        f"{where} the frontier of cheap rivals in ease ({cell(above)})"
    )
    sentence += ", but it shows signs of collapse." if metrics["collapsed"] else "."
    if has(metrics, "dynamic_ease_over_raw"):
        dynamic = measured(metrics, "dynamic_ease_over_raw")
        beyond = {1: "easier than", 0: "no easier, for sure, than", -1: "harder than"}
        sentence += (
            f" Counting only what shuffled frames do not give, it is {beyond[side(dynamic)]} raw "
            f"latents ({cell(dynamic)})."
        )
    bits = measured(metrics, "innovation_bits_per_s").value
    sentence += f" What it leaves out takes {bits:.0f} bits/s of innovation beside it."
    labels = {
        "ease_above_frontier": "ease above the frontier",
        "ease": "ease of the state",
        "raw_ease": "ease of raw latents",
        "sufficiency": "share of the gain kept",
    }
    numbers = [number(metrics, key, label) for key, label in labels.items()]
    return Section("rssm", "Is there an easier state?", sentence, numbers, [])
