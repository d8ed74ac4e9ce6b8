"""What stages found about models of the latents: free running, factorised, with memory, rivals."""

from mimi_dynamics.pipeline.conventions import FRAME_MS
from mimi_dynamics.report.bets import distances
from mimi_dynamics.report.formatting import cell, listed, number, side, words
from mimi_dynamics.report.metrics_file import Metrics, has, measured
from mimi_dynamics.report.parts import Section, Sound, Table

SEQUENCES = {"z_dyn": "the state z_dyn", "raw": "raw latents", "x": "raw latents"}
SHORT = {
    "help_nats_per_frame": "width",
    "help_over_shuffled_keys_nats_per_frame": "shuffled keys",
}


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


def engram_section(metrics: Metrics) -> Section:
    """A lookup memory, beside the same parameters as width and the same tables badly addressed."""
    rivals = {
        "help_nats_per_frame": "than as many parameters spent on width",
        "help_over_shuffled_keys_nats_per_frame": "than the same tables with shuffled keys",
    }
    sequences = {key: name for key, name in SEQUENCES.items() if key in metrics}
    better = {1: "more", 0: "not surely more", -1: "less"}
    parts = []
    for sequence, name in sequences.items():
        found = {key: measured(metrics, f"{sequence}.{key}") for key in rivals}
        told = [
            f"{better[side(found[key])]} {rival} ({cell(found[key])} nats per frame)"
            for key, rival in rivals.items()
        ]
        parts.append(f"On {name} the memory helps {listed(told)}.")
    numbers = [
        number(metrics, f"{sequence}.{key}", f"{name}: over {SHORT[key]}, nats per frame")
        for sequence, name in sequences.items()
        for key in rivals
    ]
    why = {
        "seen_ngram_share": "test n-grams seen in training",
        "shuffled_seen_ngram_share": "the same with frames shuffled",
        "key_stability": "keys that small noise leaves as they are",
    }
    rows = [
        (label, *(cell(measured(metrics, f"{s}.{key}"), "share") for s in sequences))
        for key, label in why.items()
        if all(has(metrics, f"{s}.{key}") for s in sequences)
    ]
    tables = [Table("Why", ("share of", *sequences.values()), rows)] if rows else []
    if has(metrics, "z_dyn.by_train_count"):
        tables.append(key_table(metrics["z_dyn"]["by_train_count"]))
    return Section("engram", "Does a memory help?", " ".join(parts), numbers, tables)


def key_table(buckets: Metrics) -> Table:
    """Help on the state by how often the key that is looked up was seen in train."""
    rows = [
        (
            words(bucket.removeprefix("seen_")),
            cell(measured(buckets, f"{bucket}.frame_share"), "share"),
            *(cell(measured(buckets, f"{bucket}.{key}")) for key in SHORT),
        )
        for bucket in sorted(buckets, key=lambda bucket: int(bucket.split("_")[1]))
    ]
    columns = ("times", "frames", *(f"help over {name}" for name in SHORT.values()))
    return Table("On z_dyn, by how often a key was seen in training: nats per frame", columns, rows)


def calm_section(metrics: Metrics, sounds: tuple[Sound, ...]) -> Section:
    """Ours beside CALM: quality by lead time, and cost; to listen to."""
    score = measured(metrics, "ratio.energy_score")
    cost = measured(metrics, "ratio.train_flops_to_equal_energy_score")
    verdict = {1: "worse than", 0: "not surely different from", -1: "better than"}
    cheaper = {1: "more", 0: "not surely more or less", -1: "less"}
    sentence = (
        f"Over all leads our samples are {verdict[side(score, 1.0)]} those of a small CALM on the "
        f"same data: {cell(score)} of its energy score. To reach an equal score ours takes "
        f"{cheaper[side(cost, 1.0)]} computation in training: {cell(cost)} of it."
    )
    numbers = [
        number(metrics, "ratio.energy_score", "energy score, ours / CALM"),
        number(
            metrics,
            "ratio.train_flops_to_equal_energy_score",
            "training FLOPs to an equal score, ours / CALM",
        ),
    ]
    leads = distances(metrics["ours"]["energy_score"])
    scores = Table(
        "Energy score by distance, less is better",
        ("ahead", "CALM", "ours"),
        [
            (
                f"{FRAME_MS * k} ms",
                *(cell(measured(metrics, f"{of}.energy_score.k{k}")) for of in ("calm", "ours")),
            )
            for k in leads
        ],
    )
    costs = {
        "params": "parameters",
        "train_flops": "floating-point operations in training",
        "network_evaluations_per_frame": "network evaluations per frame",
    }
    spent = Table(
        "Cost",
        ("of", "CALM", "ours"),
        [
            (label, *(f"{measured(metrics, f'{of}.{key}').value:.3g}" for of in ("calm", "ours")))
            for key, label in costs.items()
        ],
    )
    return Section("calm", "Ours or CALM?", sentence, numbers, [scores, spent], sounds)
