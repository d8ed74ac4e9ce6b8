"""What each stage found, in words that follow its numbers: prediction and what guards it."""

from mimi_dynamics.pipeline.conventions import FRAME_MS
from mimi_dynamics.report.bets import ControlCheck, distances, informative_horizon
from mimi_dynamics.report.formatting import cell, decimal, listed, number, percent, side, words
from mimi_dynamics.report.metrics_file import Metrics, has, measured
from mimi_dynamics.report.parts import Section, Table
from mimi_dynamics.report.rules import ControlLimits

ROWS = {
    "shuffled": "frames shuffled within each clip",
    "permuted": "frames shuffled across the corpus",
    "linear": "simulated by a linear model",
}
MISLEADING = {  # measures of a forecast that shuffled frames do well on too, and those they do not
    "gain_nats_per_dim": "gain on x, nats per dimension",
    "r2_one_step": "R² of x",
    "delta_gain_nats_per_dim": "gain on its change Δx, nats per dimension",
    "direction_cosine": "cosine with the direction of Δx",
    "log_magnitude_r2": "R² of the log size of Δx",
}
MOSTLY_FREE = 1 / 3  # share of a measure that shuffled frames give too, above which it misleads


def controls_section(metrics: Metrics, check: ControlCheck, limits: ControlLimits) -> Section:
    """Known answers."""
    known = [name for name in sorted(metrics) if has(metrics, f"{name}.recovered")]
    processes = [n for n in sorted(metrics) if has(metrics, f"{n}.estimated_nats_per_dim")]
    nulls = [name for name in processes if name not in known]
    shares = {name: measured(metrics, f"{name}.recovered").value for name in known}
    worst = min(known, key=lambda name: shares[name])
    false = {name: measured(metrics, f"{name}.estimated_nats_per_dim").value for name in nulls}
    sentence = (
        f"On data made to order the estimator finds {percent(shares[worst])} to "
        f"{percent(max(shares.values()))} of a gain that is there, and "
        f"{decimal(max(false.values(), default=0))} nats per dimension where there is none. "
    )
    if check.failed:
        missed = listed([words(name) for name in [*check.short, *check.false]])
        sentence += f"That is outside the limits set for {missed}."
    else:
        least, most = percent(limits.least_recovered), f"{limits.most_null_nats_per_dim:g}"
        sentence += f"Both are within the limits set: at least {least}, at most {most}."
    table = Table(
        "Gain in nats per dimension, and what the estimator found of it",
        ("process", "true", "found", "recovered", "by a linear model"),
        [
            (
                words(name),
                decimal(measured(metrics, f"{name}.true_nats_per_dim").value),
                cell(measured(metrics, f"{name}.estimated_nats_per_dim")),
                cell(measured(metrics, f"{name}.recovered"), "share"),
                decimal(measured(metrics, f"{name}.linear_floor_nats_per_dim").value),
            )
            for name in known
        ],
    )
    numbers = [number(metrics, f"{worst}.recovered", f"recovered, least ({words(worst)})", "share")]
    numbers += [
        number(metrics, f"{name}.estimated_nats_per_dim", f"found in {words(name)}")
        for name in nulls
    ]
    return Section("controls", "Known answers", sentence, numbers, [table])


def predict_section(metrics: Metrics) -> Section:
    """Gain on x beside the gain on Δx, with surrogates, and measures that mislead."""
    ms = FRAME_MS * round(measured(metrics, "horizon_frames").value)
    dynamic = measured(metrics, "dynamic_gain_nats_per_dim")
    helps = {
        1: "The past tells more about the latent {ms} ms ahead than it does once frames are "
        "shuffled within each clip: {by} nats per dimension more, which is dynamics.",
        0: "Whether the past tells more about the latent {ms} ms ahead than it does once frames "
        "are shuffled is not decided: {by} nats per dimension.",
        -1: "The past tells less about the latent {ms} ms ahead than it does once frames are "
        "shuffled: {by} nats per dimension.",
    }[side(dynamic)].format(ms=ms, by=cell(dynamic))
    numbers = [
        number(metrics, "dynamic_gain_nats_per_dim", "gain on x beyond shuffled frames"),
        number(metrics, "gain_nats_per_dim", "gain on x"),
        number(metrics, "delta.gain_nats_per_dim", "gain on Δx, much of it free"),
    ]
    if has(metrics, "test_voice"):
        held_out = "test_voice.dynamic_gain_nats_per_dim"
        numbers.insert(1, number(metrics, held_out, "the same on a voice never heard"))
    tables = [surrogate_table(metrics), misleading_table(metrics)]
    title = "Can the next latent be predicted?"
    return Section("predict", title, f"{helps} {delta_text(metrics)}", numbers, tables)


def delta_text(metrics: Metrics) -> str:
    """How much of the gain on Δx is free."""
    real = measured(metrics, "delta.gain_nats_per_dim").value
    free = measured(metrics, "surrogates.shuffled.delta_gain_nats_per_dim").value
    text = f"On its change Δx the same estimator reports {decimal(real)}, and on shuffled frames"
    share = f", {percent(free / real)} of it" if 0 < free < real else ""
    return f"{text} {decimal(free)}{share}: ΔNLL on Δx alone proves nothing."


def surrogate_table(metrics: Metrics) -> Table:
    """Gain on x and on Δx, for speech and for every surrogate."""
    real = ("gain_nats_per_dim", "delta.gain_nats_per_dim")
    keys = {"recorded speech": real} | {
        ROWS[row]: tuple(f"surrogates.{row}.{of}gain_nats_per_dim" for of in ("", "delta_"))
        for row in ROWS
        if has(metrics, f"surrogates.{row}")
    }
    return Table(
        "The same estimator on data without dynamics, nats per dimension",
        ("data", "gain on x", "gain on Δx"),
        [(row, *(cell(measured(metrics, key)) for key in pair)) for row, pair in keys.items()],
    )


def misleading_table(metrics: Metrics) -> Table:
    """Other measures of a forecast, each beside its shuffled twin."""
    rows, misleading = [], []
    for key, label in MISLEADING.items():
        real = measured(metrics, key.replace("delta_", "delta.")).value
        shuffled = measured(metrics, f"surrogates.shuffled.{key}").value
        free = max(shuffled, 0) / real if real > 0 else 1.0
        rows.append((label, decimal(real), decimal(shuffled), percent(free)))
        if free > MOSTLY_FREE:
            misleading.append(label.split(",")[0])
    mse = (measured(metrics, f"{of}mse_per_dim").value for of in ("", "surrogates.shuffled."))
    rows.append(("mean squared error of x, less is better", *(decimal(v) for v in mse), "–"))
    note = "Free is what frames in random order reach too"
    note += f": more than a third of {listed(misleading)}." if misleading else "."
    columns = ("measure", "speech", "shuffled", "free share")
    return Table("How other measures mislead", columns, rows, note)


def calibration_section(metrics: Metrics) -> Section:
    """Whether a forecast is as sure as it should be."""
    best = str(metrics["best_head"])
    found = measured(metrics, f"calibration.{best}.region_90")
    fit = {0: "as sure as it should be", 1: "less sure than it could be", -1: "too sure of itself"}
    sentence = (
        f"The densest region that the {best} head gives 90 % holds {cell(found, 'share')} of what "
        f"came: it is {fit[side(found, 0.9)]}."
    )
    names = {"region": "densest region", "coordinate": "each coordinate"}
    keys = {f"{names[kind]}, {p} %": f"{kind}_{p}" for kind in names for p in (50, 90)}
    numbers = [
        number(metrics, f"calibration.{best}.{key}", label, "share") for label, key in keys.items()
    ]
    table = Table(
        "Share of held-out frames inside",
        ("head", *keys),
        [
            (
                head,
                *(
                    cell(measured(metrics, f"calibration.{head}.{key}"), "share")
                    for key in keys.values()
                ),
            )
            for head in sorted(metrics["calibration"])
        ],
    )
    title = "Is it as sure as it should be?"
    return Section("predict", title, sentence, numbers, [table], name="calibration")


def horizons_section(metrics: Metrics, floor: float) -> Section:
    """Gain against lead time."""
    frames = distances(metrics)
    informative = informative_horizon(metrics, floor)
    if informative:
        half = cell(measured(metrics, "half_life_ms"), "ms")
        further = [k for k in frames if k > informative]
        sentence = (
            f"Half of the dynamic gain is gone after {half}. Up to {FRAME_MS * informative} ms "
            f"ahead it is surely more than {floor:g} nats per dimension"
        )
        sentence += f"; at {FRAME_MS * further[0]} ms it no longer is." if further else "."
    else:
        sentence = f"At no distance is the dynamic gain surely above {floor:g} nats per dimension."
    numbers = [number(metrics, "half_life_ms", "half-life of the dynamic gain", "ms")] + [
        number(metrics, f"k{k}.dynamic_gain_nats_per_dim", f"dynamic gain, {FRAME_MS * k} ms ahead")
        for k in frames[:3]
    ]
    kinds = {"dynamic": "dynamic_gain", "gain": "gain", "shuffled": "shuffled_gain"}
    kinds |= {"linear model": "linear_gain"}
    table = Table(
        "Gain on x by distance, nats per dimension",
        ("ahead", *kinds),
        [
            (
                f"{FRAME_MS * k} ms",
                *(cell(measured(metrics, f"k{k}.{key}_nats_per_dim")) for key in kinds.values()),
            )
            for k in frames
        ],
    )
    return Section("horizons", "How far ahead?", sentence, numbers, [table])
