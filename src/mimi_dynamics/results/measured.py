"""The row of results of a run of the pipeline, made of its settings and metrics."""

from pathlib import Path
from typing import Any, NamedTuple

from mimi_dynamics import __version__
from mimi_dynamics.codec import lyra, mimi
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.metrics import Metrics, detail_path, read_metrics
from mimi_dynamics.pipeline.params import PARAMS_FILE, load_params
from mimi_dynamics.pipeline.settings import check_settings
from mimi_dynamics.pipeline.studies import differences
from mimi_dynamics.results.row import Row
from mimi_dynamics.studies.codec_row.records import origin_of, row_path
from mimi_dynamics.studies.codec_row.subjects import RUN

GAINS = ("gain", "dynamic_gain", "speech_borne_gain")
ENDS = ("", "_ci_low", "_ci_high")


class Release(NamedTuple):
    """Weights as their makers published them.

    Attributes:
        weights_sha256: their hash, as codecs give it.
        revision: the repository and the commit that they are in.
    """

    weights_sha256: str
    revision: str


RELEASES = {
    "mimi": Release(mimi.MIMI_SHA256, f"{mimi.MIMI_REPOSITORY}@{mimi.MIMI_REVISION}"),
    "lyra": Release(lyra.WEIGHTS_SHA256, f"google/lyra@{lyra.COMMIT}"),
}


def row_of_run(
    folder: Path, weights_sha256: str, commit: str, revision: str | None = None, row: str = RUN
) -> Row:
    """Give the row of results of the run whose settings and metrics are in a folder.

    Args:
        folder: a clone of the repository in which `codec_row@codec`, or that of `row`, has run.
        weights_sha256: hash of the weights that it was to be measured with.
        commit: the commit of the clone.
        revision: where these weights are published; None for what `RELEASES` says.
        row: the row of the table of codecs, `codec` for the codec of the run or another's name.

    Raises:
        InputError: a file is missing or broken, or the metrics are of another codec, of other
            weights or of other settings.
    """
    params = load_params(folder / PARAMS_FILE)
    path = folder / row_path(row)
    metrics = read_metrics(path)
    origin = metrics["origin"]
    now = origin_of(row, weights_sha256, origin["clips_sha256"], params)
    if told := differences(origin, now):
        raise InputError(f"{path}: of another run: {'; '.join(told)}; run the stage codec_row")
    name = params.codec.name if row == RUN else row
    revision = revision or revision_of(name, weights_sha256)
    ingest = read_metrics(folder / detail_path("ingest"))
    content = {
        "codec": {
            "name": name,
            "weights_sha256": weights_sha256,
            "weights_published": revision is not None,
            "revision": revision,
            "frame_rate": metrics["frame_rate"],
            "bits_per_s": metrics.get("bits_per_s"),
        },
        "latents": {
            "dim": metrics["latent_dim"],
            "components": metrics["dim"],
            "variance_kept": _variance_kept(folder, metrics, row),
        },
        "corpus": {
            "names": ",".join(sorted(ingest["corpora"])),
            "clips": ingest["clips"],
            "hours": ingest["hours"],
            "clips_sha256": origin["clips_sha256"],
        },
        "project": {"version": __version__, "commit": commit},
        "settings": origin["settings"],
        "test": gains(metrics),
    }
    if "test_voice" in metrics:
        content["test_voice"] = gains(metrics["test_voice"])
    return check_settings(content, Row)


def _variance_kept(folder: Path, metrics: Metrics, row: str) -> float:
    """Give the share of the variance of train speech that the components hold."""
    if row == RUN:  # of any number of components
        return read_metrics(folder / detail_path("normalize"))["variance_kept"]["train"]
    return metrics["variance_kept"][f"c{metrics['dim']:03d}"]


def revision_of(codec: str, weights_sha256: str) -> str | None:
    """Give where weights were published; None if they are not those that its makers published.

    Args:
        codec: name of the codec.
        weights_sha256: hash of the weights.
    """
    release = RELEASES.get(codec)
    return release.revision if release and release.weights_sha256 == weights_sha256 else None


def gains(metrics: Metrics) -> dict[str, Any]:
    """Give the gains on one split, as a row has them, from the flat keys of the metrics."""
    found = {name: _gain(metrics, name) for name in GAINS if f"{name}_nats_per_dim" in metrics}
    spliced = _gain(metrics["spliced"], "dynamic_gain")
    return {"frames": metrics["frames"], **found, "spliced_dynamic_gain": spliced}


def _gain(metrics: Metrics, name: str) -> dict[str, float]:
    values = {f"nats_per_dim{end}": metrics[f"{name}_nats_per_dim{end}"] for end in ENDS}
    rate = f"{name}_bits_per_s"
    return values | ({"bits_per_s": metrics[rate]} if rate in metrics else {})
