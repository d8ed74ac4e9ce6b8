"""What should we believe now? Apply the rules of `bets.yaml` to the results of the stages.

    python src/bets.py           (or: dvc repro bets)

Reads bets.yaml, metrics/detail/, plots/, data/calm/, data/reconstruct/ and data/rollout/.
Writes metrics/bets.json, metrics/detail/bets.json and report/index.html. Prints the closing screen,
which compares what was found with the last commit, unless CLOSING_SCREEN=later is in the
environment: `make repro` prints it after everything else.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from mimi_dynamics.pipeline.files import write_text
from mimi_dynamics.pipeline.metrics import Metrics, detail_path, read_metrics, write_stage_metrics
from mimi_dynamics.pipeline.params import OWN_LATENTS, Params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.pipeline.without_audio import OWN_IN_WORDS
from mimi_dynamics.report.bets import check_controls, informative_horizon, judge_all, weakest_link
from mimi_dynamics.report.closing import closing, say
from mimi_dynamics.report.page import with_sections
from mimi_dynamics.report.parts import Page, render
from mimi_dynamics.report.rules import load_bets
from mimi_dynamics.report.studies import read_studies

STAGES = (  # The bets or the report use these. All of them except `controls` may be missing.
    *("ingest", "codec", "reconstruct", "controls", "predict", "horizons", "structure"),
    *("codec_table", "codes", "rollout", "recurrence", "rssm", "engram", "calm"),
)
NEEDED = ("controls",)  # There is no verdict unless the estimator was tested on known answers.


def bets(params: Params) -> None:
    """Run the stage."""
    rules = load_bets()
    metrics = read_all() | read_studies(rules, params)
    codec = codec_of_run(metrics, params)
    if codec == OWN_IN_WORDS:
        metrics.pop("codec", None)  # It tells how mimi-mini was trained, which made none of these.
    check = check_controls(metrics["controls"], rules.controls)
    judgements = judge_all(rules, metrics, check.failed)
    judged = list(judgements.values())
    floor = rules.controls.most_null_nats_per_dim
    summary: dict[str, object] = {
        "controls_failed": int(check.failed),
        "weakest_link": weakest_link(judged),
    }
    if "horizons" in metrics:
        summary["informative_horizon_frames"] = informative_horizon(metrics["horizons"], floor)
    verdicts = {name: judgement.metrics() for name, judgement in judgements.items()}
    write_stage_metrics("bets", verdicts | summary)
    not_run = tuple(stage for stage in STAGES if stage not in metrics)
    page = Page(judged, check, rules.controls, metrics, codec, not_run)
    write_text(Path("report/index.html"), render(with_sections(page, Path())))
    if os.environ.get("CLOSING_SCREEN") != "later":
        say(closing().text)


def codec_of_run(metrics: Mapping[str, Metrics], params: Params) -> str:
    """Name what the latents of the run are of, as the page is to call it."""
    corpora = metrics.get("ingest", {}).get("corpora", {})
    return OWN_IN_WORDS if OWN_LATENTS in corpora else params.codec.name


def read_all() -> dict[str, Metrics]:
    """Read the metrics of every stage that has run, as a dict by name of the stage.

    Raises:
        InputError: a stage of `NEEDED` has not run, or a metrics file is not usable.
    """
    return {
        stage: read_metrics(detail_path(stage))
        for stage in STAGES
        if detail_path(stage).exists() or stage in NEEDED
    }


if __name__ == "__main__":
    run_stage(bets)
