"""The CALM study: what its script writes, and whether the committed results are of today."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

import calm_study
from mimi_dynamics.evidence.bootstrap import Estimate
from mimi_dynamics.figures.bet4_study import NAMES
from mimi_dynamics.figures.calm_study import study_figure, study_lines
from mimi_dynamics.latents.loading import LATENTS, NORMALIZER
from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter, read_latents
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.studies import changed_settings, study_settings
from mimi_dynamics.studies.calm import contenders, kept, study, study_metrics
from mimi_dynamics.studies.calm.contenders import JUDGED, OURS, PREDICTOR
from mimi_dynamics.studies.calm.inputs import RSSM
from mimi_dynamics.studies.calm.study import Variant
from mimi_dynamics.studies.calm.study_metrics import (
    Combined,
    Scored,
    Spread,
    ablation_metrics,
    per_doubling,
    study_table,
)
from mimi_dynamics.studies.calm.training import Trained
from mimi_dynamics.studies.rssm.model import Rssm, RssmShape
from mimi_dynamics.studies.rssm.training import save_rssm
from tests.harness import ROOT

PARAMS = load_params(ROOT / "params.yaml")
FILE, TABLE = detail_path("calm_study"), Path("plots/calm_study.csv")
MANIFEST = Path("data/manifest.parquet")
COMMITTED = json.loads((ROOT / FILE).read_text())
DIM, FRAMES = 4, 24
SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2 + ["test_voice"] * 2
INFO = {
    "codec": "mimi-mini", "weights_sha256": "0" * 64, "latent_kind": LATENT_KIND, "dim": 2 * DIM,
    "codebooks": 2, "frame_rate": 12.5, "sample_rate": 24_000,
}  # fmt: skip


def small_params() -> Params:
    """Settings for trainings of a fraction of a second."""
    changes = {
        "latents": {"dim": DIM},
        "predict": {"width": 8, "epochs": 1, "pretrain_epochs": 1, "min_steps": 1, "var_order": 1},
        "rollout": {"samples": 2, "prompt_frames": 4},
        "rssm": {"rec_dim": 2, "width": 8, "epochs": 1},
        "calm": {"layers": 1, "context_frames": 4, "epochs": 1, "dynamics_width": 8},
        "calm_study": {"seeds": 2},
        "bet4_study": {"starts": 8},
    }
    sections = {n: getattr(PARAMS, n).model_copy(update=c) for n, c in changes.items()}
    return PARAMS.model_copy(update=sections | {"head": "gaussian", "horizons": [1, 2]})


def write_inputs(params: Params) -> None:
    """Write what other stages would have: latents of noise, and models that were never trained."""
    random = np.random.default_rng(0)
    clips = [
        EncodedClip(
            clip_id=f"clip/{number}",
            voice="bob" if split == "test_voice" else "ann",
            split=split,
            latent=random.standard_normal((FRAMES, 2 * DIM)).astype(np.float32),
            rms_db=random.uniform(-40, -10, FRAMES).astype(np.float32),
            gated=np.zeros(FRAMES, bool),
            codes=random.integers(0, 9, (FRAMES, 2)).astype(np.int16),
        )
        for number, split in enumerate(SPLITS)
    ]
    with LatentWriter(LATENTS, INFO) as writer:
        for split in dict.fromkeys(SPLITS):
            writer.write([clip for clip in clips if clip.split == split])
    manifest = pd.DataFrame({"clip_id": [clip.clip_id for clip in clips], "split": SPLITS})
    manifest.assign(sha256="0" * 64, voice="ann").to_parquet("data/manifest.parquet")
    fit_normalizer(read_latents(LATENTS).values, DIM).save(NORMALIZER)
    rssm = params.rssm
    shape = RssmShape(DIM, 2, 1, rssm.rec_dim, rssm.width, rssm.head, rssm.components)
    save_rssm(Rssm(shape), RSSM)
    write_metrics(detail_path("rssm"), {"budget_nats_per_frame": 4.0})


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Inputs, one core, two switches, one size and one share beside the whole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    # Contenders as small as these cannot be made equally large.
    monkeypatch.setattr(contenders, "MOST_APART", 1e6)
    for switches, one in (("CALM_SWITCHES", "head_batch"), ("OUR_SWITCHES", "rollout_loss")):
        monkeypatch.setattr(study, switches, {one: getattr(study, switches)[one]})
    for module in (study, study_metrics):
        monkeypatch.setattr(module, "WIDTHS", (0.5, 1.0))
        monkeypatch.setattr(module, "SHARES", (0.5, 1.0))
    write_inputs(small_params())
    return tmp_path


def keys_of(metrics: dict, above: str = "") -> Iterator[str]:
    """Names of all numbers."""
    for key, value in metrics.items():
        name = f"{above}.{key}"
        yield from keys_of(value, name) if isinstance(value, dict) else [name]


@pytest.mark.trains
@pytest.mark.usefixtures("workplace")
def test_the_script_writes_what_is_committed_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers by name; a second run trains nothing and ends at the same bytes."""
    params = small_params()
    calm_study.calm_study(params)
    first = FILE.read_bytes()
    written = json.loads(first)
    assert written.keys() == COMMITTED.keys()
    for name in written.keys() - {"ablation", "judged", "per_doubling"}:
        now, before = (set(keys_of({name: metrics[name]})) for metrics in (written, COMMITTED))
        assert now == before, name
    assert written["trainings"] == 2
    counts = {"needed", "harmful"}
    for row, switch in {**dict.fromkeys(JUDGED, "head_batch"), OURS: "rollout_loss"}.items():
        assert written["ablation"][row].keys() == {switch, *counts}
    rows = {written["judged"], OURS, PREDICTOR}
    assert written["per_doubling"].keys() == {*rows, "ours_less_calm"}
    table, committed = (pd.read_csv(folder / TABLE) for folder in (Path(), ROOT))
    assert list(table.columns) == list(committed.columns)
    scaled = table[table["without"].isna()]
    assert (scaled.groupby("row").size()[[*rows]] == 4).all()
    unchanged = scaled[(scaled["width"] == 1) & (scaled["clips"] == 1)]
    assert set(unchanged["row"]) == {*JUDGED, OURS, PREDICTOR}
    assert (unchanged[["worse", "worse_low", "worse_high"]] == 0).all(axis=None)
    assert len(study_figure(table).axes) == 1 + len(rows)
    page = "\n".join(study_lines(written, table))
    for _, row in table[table["without"].notna()].iterrows():
        assert page.count(f"| {NAMES[row['row']]} | {row['without'].replace('_', ' ')} |") == 1
    for row in rows:
        switched = (table["without"].notna() & (table["row"] == row)).sum()
        assert page.count(f"| {NAMES[row]} | ") == switched + 3  # two sizes, and the slopes

    def never(_: object) -> None:
        pytest.fail("trained again")

    monkeypatch.setattr(kept, "trained_by", never)
    calm_study.calm_study(params)
    assert FILE.read_bytes() == first


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("path", [MANIFEST, NORMALIZER, RSSM, detail_path("rssm")])
def test_a_missing_input_is_named_in_one_line(path: Path) -> None:
    path.unlink()
    with pytest.raises(InputError, match=rf"^{path}: not there; run the stage \w+(@1)?$"):
        calm_study.calm_study(small_params())


def test_the_committed_study_is_of_the_settings_of_the_study() -> None:
    assert COMMITTED["settings"]["calm_study"] == PARAMS.calm_study.model_dump()
    assert COMMITTED["trainings"] == PARAMS.calm_study.seeds


def test_other_settings_that_have_changed_since_are_named_beside_the_results() -> None:
    """All of them and no others; benchmarks/calm_cost.py --write states them anew."""
    current = study_settings(PARAMS, study.SECTIONS)
    page = (ROOT / "docs/explanation/calm.md").read_text(encoding="utf-8")
    changed = changed_settings(COMMITTED["settings"], current)
    assert re.findall(r"`([^`]*\(now [^`]*\))`", page) == changed


def test_contenders_are_equal_at_every_size_and_on_every_share() -> None:
    """In parameters and in operations, within what bet 4 allows."""
    table = pd.read_csv(ROOT / TABLE)
    scaled = table[table["without"].isna()].set_index(["row", "width", "clips"])
    calm, ours = scaled.loc[COMMITTED["judged"]], scaled.loc[OURS]
    assert len(calm) == len(ours) == len(study.WIDTHS) * len(study.SHARES)
    for column in ("params", "train_flops"):
        assert ((ours[column] / calm[column] - 1).abs() < contenders.MOST_APART).all(), column


def score(value: float, spread: Spread, trainings: int = 1, of_clips: float = 0.0) -> Combined:
    """The mean of some trainings, over draws of clips with a standard deviation `of_clips`."""
    drawn = value + of_clips * np.random.default_rng(0).standard_normal(4000)
    return Combined(Estimate(value, drawn), {spread: np.full(trainings, 1 / trainings)})


def scored(row: str, of: Combined, **what: object) -> Scored:
    """A variant whose parameters are a thousand times the square of its width."""
    variant = Variant(row, **what)
    return Scored(variant, Trained(None, round(1000 * variant.width**2), 1.0, 1, 1, []), of)


def half_width(metrics: dict[str, float], name: str) -> float:
    return metrics[f"{name}_ci_high"] - metrics[name]


def test_a_needed_stabiliser_is_beyond_the_spread_of_clips_and_of_trainings() -> None:
    """By the formula, of one training against the mean of three; clips are paired."""
    spread = Spread("ours", 0.03, 2)
    found = [
        scored("ours", score(3.0, spread, 3, 0.5)),
        scored("ours", score(3.3, spread, of_clips=0.5), without="a"),
        scored("ours", score(2.7, spread, of_clips=0.5), without="b"),
        scored("ours", score(3.05, spread, of_clips=0.51), without="c"),
    ]
    table = study_table(found)
    half = table["worse_high"] - table["worse"]
    of_trainings = t.ppf(0.975, 2) * 0.03 * math.sqrt(1 + 1 / 3)
    assert half[0] == 0
    assert list(half[1:3]) == pytest.approx([of_trainings] * 2)
    assert half[3] == pytest.approx(math.hypot(of_trainings, 1.96 * 0.01), rel=0.01)
    metrics = ablation_metrics(table)["ours"]
    assert (metrics["needed"], metrics["harmful"]) == (1, 1)
    assert metrics["a"]["worse"] == pytest.approx(0.3)


@pytest.mark.parametrize("ratio", [1.0, 3.0, 20.0])
def test_intervals_of_contenders_that_spread_differently_hold(ratio: float) -> None:
    """A difference of one training and the mean of five, each contender with its own spread."""
    random, inside = np.random.default_rng(0), []
    for _ in range(3000):
        steady, wild = random.standard_normal(5), ratio * random.standard_normal(5)
        ours = score(wild[0], Spread.of("ours", wild[1:]))
        calm = score(steady.mean(), Spread.of("calm", steady), 5)
        metrics = (ours - calm).metrics("apart")
        inside.append(metrics["apart_ci_low"] <= 0 <= metrics["apart_ci_high"])
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_a_law_of_scaling_is_recovered() -> None:
    """Scores that fall by 0.3 and by 0.1 with each doubling, and ours by 0.5 and by 0.1."""
    spreads = {"consistency": Spread("consistency", 0.01, 4), "ours": Spread("ours", 0.04, 4)}
    slopes = {"consistency": (-0.3, -0.1), "ours": (-0.5, -0.1)}
    cells = [
        scored(
            row,
            score(
                9 + of_size * math.log2(width**2) + of_clips * math.log2(share),
                spreads[row],
                5 if width == share == 1 else 1,
                of_clips=0.3,
            ),
            width=width,
            share=share,
        )
        for row, (of_size, of_clips) in slopes.items()
        for width in study.WIDTHS
        for share in study.SHARES
    ]
    found = per_doubling(cells, "consistency")
    for row, (of_size, of_clips) in slopes.items():
        assert found[row]["parameters"] == pytest.approx(of_size, abs=0.01)
        assert found[row]["clips"] == pytest.approx(of_clips, abs=0.01)
    assert found["ours_less_calm"]["parameters"] == pytest.approx(-0.2, abs=0.01)
    # All draws are of the same clips and move all cells alike: only trainings are left.
    alone = half_width(found["consistency"], "clips"), half_width(found["ours"], "clips")
    assert alone[1] == pytest.approx(4 * alone[0])
    shares = np.log2([share for _ in study.WIDTHS for share in study.SHARES])
    weights = (shares - shares.mean()) / ((shares - shares.mean()) ** 2).sum()
    weights[-1] /= math.sqrt(5)
    assert alone[0] == pytest.approx(t.ppf(0.975, 4) * 0.01 * np.linalg.norm(weights), rel=0.01)
    both = half_width(found["ours_less_calm"], "clips")
    assert 0.9 * alone[1] < both < math.hypot(*alone)


def test_slopes_are_of_the_whole_grid() -> None:
    """A contender of which cells are missing has none."""
    spread = Spread("any", 0.01, 4)
    rows = {"consistency": study.SHARES, "ours": study.SHARES, PREDICTOR: study.SHARES[1:]}
    cells = [
        scored(row, score(3.0, spread), width=width, share=share)
        for row, shares in rows.items()
        for width in study.WIDTHS
        for share in shares
    ]
    assert per_doubling(cells, "consistency").keys() == {"consistency", "ours", "ours_less_calm"}
