"""The CALM study: what its script writes, and whether the committed results are of today."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import calm_study
from mimi_dynamics.codec.base import FRAME_SIZE
from mimi_dynamics.density.predictor import make_conditional, make_marginal, save_predictor
from mimi_dynamics.density.var import Var
from mimi_dynamics.latents.loading import LATENTS, NORMALIZER
from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter, read_latents
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import write_metrics
from mimi_dynamics.pipeline.metrics import detail_path
from mimi_dynamics.pipeline.params import Params, load_params
from mimi_dynamics.pipeline.studies import changed_settings, study_settings
from mimi_dynamics.studies.calm import study
from mimi_dynamics.studies.calm.inputs import RSSM
from mimi_dynamics.studies.rssm.model import Rssm, RssmShape
from mimi_dynamics.studies.rssm.training import save_rssm
from tests.harness import ROOT

PARAMS = load_params(ROOT / "params.yaml")
PREDICTOR = Path("models/horizons/k1.safetensors")
COMMITTED = json.loads((ROOT / "metrics/detail/calm_study.json").read_text())
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
        "rollout": {"samples": 2, "starts": 4, "prompt_frames": 4},
        "rssm": {"rec_dim": 2, "width": 8, "epochs": 1},
        "calm": {"layers": 1, "context_frames": 4, "epochs": 1, "dynamics_width": 8},
        "calm_study": {"seeds": 2},
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
    fit_normalizer(read_latents(LATENTS).values, DIM).save(NORMALIZER)
    size = {"head": params.head, "width": 8, "components": 1}
    var = Var(torch.zeros(1, DIM, DIM), torch.zeros(DIM), torch.eye(DIM))
    predictor = make_conditional(make_marginal(var, *size.values()), var, 8, 0.0)
    save_predictor(predictor, PREDICTOR, size | {"context_frames": 0})
    rssm = params.rssm
    shape = RssmShape(DIM, 2, 1, rssm.rec_dim, rssm.width, rssm.head, rssm.components)
    save_rssm(Rssm(shape), RSSM)
    write_metrics(detail_path("rssm"), {"budget_nats_per_frame": 4.0})


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Inputs, one core, two switches, one size and one share beside the whole, noise for sound."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    monkeypatch.setattr(calm_study, "load_codec", lambda *_: None)
    sound = np.random.default_rng(0).standard_normal(FRAMES * FRAME_SIZE).astype(np.float32)
    decode = lambda frames: sound[: len(frames) * FRAME_SIZE]  # noqa: E731
    monkeypatch.setattr(calm_study, "make_decoder", lambda *_: decode)
    for switches, kept in (("CALM_SWITCHES", "head_batch"), ("OUR_SWITCHES", "rollout_loss")):
        monkeypatch.setattr(study, switches, {kept: getattr(study, switches)[kept]})
    monkeypatch.setattr(study, "SIZES", (0.5, 1.0))
    monkeypatch.setattr(study, "DATA_SHARES", (0.5, 1.0))
    write_inputs(small_params())
    return tmp_path


def keys_of(metrics: dict, above: str = "") -> Iterator[str]:
    """Names of all numbers, without those of lead times."""
    for key, value in metrics.items():
        name = f"{above}.{re.sub(r'k[0-9]+', 'k', key)}"
        yield from keys_of(value, name) if isinstance(value, dict) else [name]


@pytest.mark.trains
@pytest.mark.usefixtures("workplace")
def test_the_script_writes_what_is_committed() -> None:
    """The same numbers by name, from settings that it records, with as many trainings as asked."""
    params = small_params()
    calm_study.calm_study(params)
    written = json.loads(Path("metrics/detail/calm_study.json").read_text())
    assert written.keys() == COMMITTED.keys()
    for name in written.keys() - {"settings", "ablation", "size", "data"}:
        now, before = (set(keys_of({name: metrics[name]})) for metrics in (written, COMMITTED))
        assert now == before
    assert written["trainings"] == 2
    assert written["settings"]["calm"]["seeds"] == written["settings"]["calm_study"]["seeds"] == 2
    assert not changed_settings(
        written["settings"], study_settings(study.study_params(params), study.SECTIONS)
    )
    assert written["settings"].keys() == COMMITTED["settings"].keys()
    assert written["ablation"]["calm"].keys() == {"all", "needed", "without_head_batch"}
    assert written["ablation"]["ours"].keys() == {"all", "needed", "without_rollout_loss"}
    for kind in ("size", "data"):
        assert written[kind].keys() == {"calm", "ours", "predictor"}
        assert all(variants.keys() == {"all", "0p5"} for variants in written[kind].values())
    table, committed = (pd.read_csv(folder / "plots/calm_study.csv") for folder in (Path(), ROOT))
    assert list(table.columns) == list(committed.columns)
    assert set(zip(table["study"], table["row"], table["variant"], strict=True)) <= {
        *zip(committed["study"], committed["row"], committed["variant"], strict=True)
    }


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("path", [NORMALIZER, PREDICTOR, RSSM, detail_path("rssm")])
def test_a_missing_input_is_named_in_one_line(path: Path) -> None:
    path.unlink()
    with pytest.raises(InputError, match=rf"^{path}: not there; run the stage \w+(@1)?$"):
        calm_study.calm_study(small_params())


def test_the_committed_study_is_of_the_settings_of_the_study() -> None:
    assert COMMITTED["settings"]["calm_study"] == PARAMS.calm_study.model_dump()
    assert COMMITTED["trainings"] == PARAMS.calm_study.seeds


def test_other_settings_that_have_changed_since_are_named_beside_the_results() -> None:
    """All of them and no others; benchmarks/calm.py --write states them anew."""
    current = study_settings(study.study_params(PARAMS), study.SECTIONS)
    page = (ROOT / "docs/explanation/calm.md").read_text(encoding="utf-8")
    changed = changed_settings(COMMITTED["settings"], current)
    assert re.findall(r"`([^`]*\(now [^`]*\))`", page) == changed
