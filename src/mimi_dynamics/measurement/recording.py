"""A measurement as a row of `results/`, to be sent in."""

from collections.abc import Mapping
from typing import Any

from mimi_dynamics.pipeline.files import SIGNIFICANT_DIGITS
from mimi_dynamics.pipeline.settings import check_settings
from mimi_dynamics.results.latents_row import LatentsRow

GAINS = ("gain", "shuffled_gain", "dynamic_gain")
ENDS = ("", "_ci_low", "_ci_high")
COUNTED = ("frames_sha256", "clips", "frames", "dim", "components", "variance_kept", "groups")
SEEN = "smallest_gain_seen_nats_per_dim"
TEST_VOICE = "test_voice"


def row_of(of: Mapping[str, Any], codec: str, corpus: str) -> LatentsRow:
    """Make the row of a measurement.

    Args:
        of: what `Measurement.to_dict` gives.
        codec: the name that people know the codec by, in letters, digits, dots and dashes.
        corpus: the name of the speech.

    Raises:
        InputError: the name of the codec cannot be that of a file.
    """
    weights = of["codec"].get("weights_sha256") or of["codec"].get("mimi_hash")
    horizons, calibration = of["horizons"], of["calibration"]
    row = {
        "named": {"codec": codec, "corpus": corpus, "weights_hash": weights},
        "latents": {
            **{key: of["latents"][key] for key in COUNTED if key in of["latents"]},
            "frame_rate": of["frame_rate"],
        },
        **{key: of[key] for key in ("version", "effort", "seed", "settings", "notes")},
        "horizons": {k: horizon_of(found) for k, found in horizons.items()},
        "controls": {
            name: {
                "true_nats_per_dim": rounded(found["true_nats_per_dim"]),
                "found": gain_of(found, "found"),
            }
            for name, found in of["controls"].items()
        },
        "density": {
            "head": of["head"],
            "region_50": rounded(calibration["region_50"]),
            "region_90": rounded(calibration["region_90"]),
            "rise_nats_per_dim": rounded(of["learning_curve"]["rise_nats_per_dim"]),
        },
    }
    held_out = {k: found[TEST_VOICE] for k, found in horizons.items() if TEST_VOICE in found}
    if held_out:
        row[TEST_VOICE] = {k: horizon_of(found) for k, found in held_out.items()}
    return check_settings(row, LatentsRow)


def horizon_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Give the gains of one horizon on one split."""
    gains = {name: gain_of(found, name) for name in GAINS}
    seen = {SEEN: found[SEEN]} if SEEN in found else {}
    return {"frames": found["frames"], "r2": rounded(found["r2"]), **gains, **seen}


def gain_of(found: Mapping[str, Any], name: str) -> dict[str, float]:
    """Give a gain with its interval."""
    return {f"nats_per_dim{end}": rounded(found[f"{name}_nats_per_dim{end}"]) for end in ENDS}


def rounded(value: float) -> float:
    """Round a number as metrics files are: further digits differ between processors."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
