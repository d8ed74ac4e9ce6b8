"""Reference pages from the code: the headline metrics here, settings and code beside this module.

`write_readme.py` puts these texts where a template of docs/reference/ names them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimi_dynamics.pipeline.metrics import HEADLINES, headline_keys
from mimi_dynamics.report.formatting import cell
from mimi_dynamics.report.metrics_file import measured
from mimi_dynamics.report.rules import BETS_FILE, load_bets
from mimi_dynamics.results.files import FOLDER
from mimi_dynamics.results.files import read as read_row
from mimi_dynamics.results.row import LINES, Row
from reference_benchmarks import best_peer
from reference_code import command_help, library_rooms, public_interface
from reference_settings import origin_of_study, params_tables, value_at

RESULTS = Path(__file__).resolve().parents[1] / FOLDER
# What the end of a headline key means, the longest end that fits; {} is what stands before it.
MEANINGS = {
    "clips": "clips that are used",
    "hours": "hours of speech in them",
    "voices": "speakers in them",
    "rejected.total": "recordings that are not used",
    "log_mel_quantized": "log-mel distance after the codec, on all test clips",
    "codec.log_mel": "log-mel distance after the codec, on the clips of `reconstruct`",
    "codec.word_error_rate": "share of English words that a recogniser gets wrong after the codec",
    "worst_recovered": "least share of a true gain that is found on controls of development",
    "worst_held_out_recovered": "least share of a true gain that is found on held-out controls",
    "worst_null_nats_per_dim": "largest gain that is found where there is none",
    "horizon_frames": "lead, of this stage alone",
    "gain_nats_per_dim": "what the past tells of the frame ahead",
    "dynamic_gain_nats_per_dim": "what the past tells beyond what shuffled frames tell",
    "speech_borne_gain_nats_per_dim": "gain on a target that shares no audio with the past",
    "delta.dnll_nats_per_dim": "minus the gain on the change Δx; misleads when read alone",
    "nominal_bits_per_s": "codebooks × log2 of their size × frames a second",
    "frequencies_bits_per_s": "what the codes need by their frequencies alone",
    "given_past_bits_per_s": "what they need given all codes before them",
    "saved_share": "share of the nominal rate that a small causal model saves",
    "saved_share_over_frequencies": "share that it saves of the rate by frequencies alone",
    "saved_share_from_past_beyond_shuffled": "share that the order of past frames saves",
    "skill.rollout": "1 − energy score of free-running samples over that of climatology",
    "gap": "energy score of free-running samples − that of a direct forecast; > 0 = worse",
    "ease_above_frontier": "ease of the state above the best cheap rival of the same fidelity",
    "dynamic_ease": "ease of the state beyond that of its encoder on shuffled frames",
    "dynamic_ease_over_raw": "the dynamic ease of the state less that of x itself",
    "fidelity_r2": "share of the variance of x that can be read from the state",
    "sufficiency": "share of what the past tells that the newest state keeps",
    "innovation_bits_per_s": "what the innovation carries",
    "collapsed": "1 = the state is empty or the innovation is not used",
    "help_nats_per_frame": "what the memory saves against as many parameters without one",
    "help_over_shuffled_keys_nats_per_frame": "what the memory saves against keys shuffled in time",
    "ratio.energy_score": "energy score of ours over that of CALM; < 1 = ours is better",
    "ratio.train_flops_to_equal_energy_score": "training operations to the same score, ours / CALM",
    "posterior": "probability of the bet after its verdict, by the latest rules",
    "supported": "1 = supported, 0 = contradicted, 0.5 = undecided",
    "measured": "0 = what the latest rules ask for has not been run",
}
UNITS = {
    "_nats_per_dim": "nats per dimension",
    "_nats_per_frame": "nats per frame",
    "_bits_per_s": "bits a second",
    "_frames": "frames of 80 ms",
    "hours": "hours",
    "log_mel": "nepers",
    "log_mel_quantized": "nepers",
    "gap": "as whitened latents",
}


def longest_end(key: str, of: Mapping[str, str]) -> str | None:
    """Look up the longest end of a key that is in a table, or None."""
    ends = [end for end in of if key.endswith(end)]
    return of[max(ends, key=len)] if ends else None


def meaning(key: str) -> str:
    """Say what a headline number means.

    Raises:
        KeyError: there are no words for it in `MEANINGS`.
    """
    told = longest_end(f".{key}", {f".{end}": words for end, words in MEANINGS.items()})
    if told is None:
        raise KeyError(f"{key}: has no words in MEANINGS of tools/reference.py")
    return told


def headline_table(metrics: Mapping[str, Any]) -> str:
    """List all headline numbers: what they are, with 95 % intervals, their unit and their meaning.

    Args:
        metrics: those of each stage by its name, as in `metrics/detail/`.
    """
    lines = ["| file | key | now | unit | meaning |", "|---|---|---|---|---|"]
    for stage in HEADLINES:
        keys = list(headline_keys(stage))
        for key in keys:
            if key.endswith(("_ci_low", "_ci_high")):
                continue
            ends = (
                [key] if f"{key}_ci_low" not in keys else [key, f"{key}_ci_low", f"{key}_ci_high"]
            )
            now, *interval = [shown(value_at(metrics.get(stage, {}), end)) for end in ends]
            now += f" [{', '.join(interval)}]" if interval else ""
            unit = longest_end(key, UNITS) or ""
            lines.append(f"| `{stage}` | `{key}` | {now} | {unit} | {meaning(key)} |")
    return "\n".join(lines)


def shown(value: object) -> str:
    """Write a number with three digits; a whole one with all, and a dash for what is not there."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}".replace("-", "−") if isinstance(value, float) else "–"


def results_table() -> str:
    """Make the table of the rows of codecs in `results/`, and say how many of latents there are."""
    rows = [read_row(path) for path in sorted(RESULTS.glob("*.json"))]
    lines = [
        table_row("codec", "weights", "speech", *LINES.values()),
        table_row(*["---"] * (3 + len(LINES))),
        *(_result_line(row) for row in rows if isinstance(row, Row)),
    ]
    others = sum(not isinstance(row, Row) for row in rows)
    return "\n".join(lines) + f"\n\nRows of latents of anyone's own: {others}.\n"


def _result_line(row: Row) -> str:
    codec, corpus = row.codec, row.corpus
    found = row.test.model_dump(exclude_none=True)
    return table_row(
        f"`{codec.name}`",
        f"`{codec.weights_sha256[:8]}`" + ("" if codec.weights_published else ", not published"),
        f"{corpus.names}, {corpus.hours:.1f} hours",
        *(cell(measured(found, f"{key}.nats_per_dim")) if key in found else "–" for key in LINES),
    )


def rules_after_results() -> tuple[int, int]:
    """Count the sets of rules that are younger than a result of theirs, and all of them."""
    bets = load_bets(RESULTS.parent / BETS_FILE).bets
    before = [rules.before_result for bet in bets.values() for rules in bet.rules.values()]
    return before.count(False), len(before)


def table_row(*cells: str) -> str:
    """Write a row of a table."""
    return f"| {' | '.join(cells)} |"


def ranking_measures() -> dict[str, str]:
    """Give what each measure of `ranking_study` is called, by its key."""
    from mimi_dynamics.studies.ranking.measures import MEASURES  # with torch, which takes seconds

    return {key: of.label for key, of in MEASURES.items()}


def least_telling(sets: int) -> float:
    """Give the rank correlation above which the interval of so many sets leaves out 0."""
    from mimi_dynamics.studies.ranking import correlations  # with torch, which takes seconds

    return correlations.least_telling(sets)


TEXTS = {
    "results_table": results_table,
    "params_tables": params_tables,
    "command_help": command_help,
    "library_rooms": library_rooms,
    "public_interface": public_interface,
    "ranking_measures": ranking_measures,
    "least_telling": least_telling,
    "rules_after_results": rules_after_results,
    "best_peer": best_peer,
    "origin_of_study": origin_of_study,
}
