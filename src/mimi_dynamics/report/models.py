"""What stages found about models of the latents: free running, factorised, with memory, rivals."""

from mimi_dynamics.bets import distances
from mimi_dynamics.figures import FRAME_MS
from mimi_dynamics.measured import Metrics, has, measured
from mimi_dynamics.report.formatting import cell, listed, number, side
from mimi_dynamics.report.parts import Section, Sound, Table


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
