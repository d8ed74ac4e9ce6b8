"""Numbers that are not finite stop every stage that reads them; so does training that diverges."""

import importlib
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mimi_dynamics.density.training import DivergedError
from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.states import read_states, write_states
from mimi_dynamics.latents.store import LATENT_KIND, EncodedClip, LatentWriter, read_latents
from mimi_dynamics.pipeline import parallel
from mimi_dynamics.pipeline.definitions import load_stages
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.pipeline.stage import run_stage
from mimi_dynamics.studies.calm.factorised import PredictorJob, train_predictor
from mimi_dynamics.studies.calm.model import shape_of
from mimi_dynamics.studies.calm.training import CalmJob, train_calm
from mimi_dynamics.studies.engram import study
from tests.harness import ROOT
from tests.harness.simulation import simulate

PARAMS = load_params(ROOT / "params.yaml")
DIM, CODEBOOKS, FRAMES = 36, 8, 30
SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
INFO = {
    "codec": "mimi-mini", "weights_sha256": "0" * 64, "latent_kind": LATENT_KIND, "dim": DIM,
    "codebooks": CODEBOOKS, "frame_rate": 12.5, "sample_rate": 24_000,
}  # fmt: skip
STAGES = load_stages(ROOT / "dvc.yaml")
READERS = [name for name, stage in STAGES.items() if "data/latents" in stage["deps"]]


def write_latents(poison: float = 0.0, of: str = "latent") -> None:
    """Ten clips of noise in data/latents, one number of `clip/7` being `poison`."""
    random = np.random.default_rng(0)
    clips = [
        EncodedClip(
            clip_id=f"clip/{number}",
            voice="ann",
            split=split,
            latent=random.standard_normal((FRAMES, DIM)).astype(np.float32),
            rms_db=random.uniform(-40, -10, FRAMES).astype(np.float32),
            gated=np.zeros(FRAMES, bool),
            codes=random.integers(0, 9, (FRAMES, CODEBOOKS)).astype(np.int16),
        )
        for number, split in enumerate(SPLITS)
    ]
    if poison:
        getattr(clips[7], of)[11] = poison
    with LatentWriter(Path("data/latents"), INFO) as writer:
        for split in dict.fromkeys(SPLITS):
            writer.write([clip for clip in clips if clip.split == split])


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, good latents, states and a normalizer, one core, and a stage without arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    monkeypatch.setattr(sys, "argv", ["stage.py"])
    shutil.copy(ROOT / "params.yaml", tmp_path)
    write_latents()
    latents = read_latents(Path("data/latents"))
    fit_normalizer(latents.values, PARAMS.latents.dim).save(Path("models/normalizer.safetensors"))
    write_states(Path("data/states"), latents, latents.values[:, :16])
    return tmp_path


@pytest.mark.parametrize("of", ["latent", "rms_db"])
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_latent_that_is_not_finite_is_named_by_its_clip(
    workplace: Path, poison: float, of: str
) -> None:
    write_latents(poison, of)
    with pytest.raises(InputError, match=r"^clip clip/7: 1 frames are not finite.*stage encode"):
        read_latents(Path("data/latents"))


def test_a_state_that_is_not_finite_is_named_by_its_clip(workplace: Path) -> None:
    latents = read_latents(Path("data/latents"))
    states = latents.values[:, :16].copy()
    states[9 * FRAMES + 1 :] = np.nan
    write_states(Path("data/states"), latents, states)
    with pytest.raises(InputError, match=r"^clip clip/9: 29 frames are not finite.*stage rssm"):
        read_states(Path("data/states"))


@pytest.mark.parametrize("name", READERS)
def test_every_stage_that_reads_latents_stops_in_one_line(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """And writes nothing."""
    write_latents(np.nan)
    module = importlib.import_module(name)
    shutil.copytree(ROOT / "models", "models", dirs_exist_ok=True)
    for k in PARAMS.horizons:  # only looked for before latents are read
        Path("models/horizons").mkdir(exist_ok=True)
        Path(f"models/horizons/k{k}.safetensors").touch()
    if name == "codec_row":
        write_manifest()
        monkeypatch.setattr(module, "read_fits", lambda _: [])
    if name == "calm":
        monkeypatch.setattr(module, "read_factorisation", lambda: None)
    arguments = {"horizon": {"frames": int}, "codec_row": {"row": str}}.get(name, {})
    items = {"frames": "1", "row": "codec"}
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *(items[item] for item in arguments)])
    before = {path for path in workplace.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit, match=rf"^{name}: error: clip clip/7: .* not finite") as caught:
        run_stage(getattr(module, name), **arguments)
    assert "\n" not in str(caught.value)
    after = {path for path in workplace.rglob("*") if path.is_file()}
    assert {path.parent.name for path in after - before} == {"runs"}  # the lock


def write_manifest() -> None:
    """One that a stage may read before the latents."""
    clip = {"clip_id": ["a"], "split": ["train"], "path": ["data/audio/a.flac"]}
    pd.DataFrame(clip).to_parquet("data/manifest.parquet")


def test_a_seed_that_diverges_ends_the_stage_and_is_not_averaged_in(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With seeds 0 and 1, of which the second does."""
    engram = importlib.import_module("engram")
    settings = Path("params.yaml").read_text()
    seeds = f"  seeds: {PARAMS.engram.seeds} "
    assert seeds in settings
    Path("params.yaml").write_text(settings.replace(seeds, "  seeds: 2 "))
    trained = []

    def fit(model: object, *rest: object) -> float:
        seed = rest[3].initial_seed()
        trained.append(seed)
        if seed == 1:
            raise DivergedError("lr = 0.003: must be smaller, ...")
        return 0.0

    monkeypatch.setattr(study, "fit", fit)
    with pytest.raises(SystemExit, match=r"^engram: error: \w+, \w+, seed 1: lr = 0.003: must be"):
        run_stage(engram.engram)
    assert set(trained) == {0, 1}
    assert not Path("metrics").exists()
    assert not Path("plots").exists()


@pytest.mark.trains
@pytest.mark.parametrize("contender", ["calm", "predictor"])
def test_a_contender_of_calm_that_diverges_is_named_with_its_seed(contender: str) -> None:
    data = simulate("white_noise", 2_000, 4)
    fast = {
        "calm": PARAMS.calm.model_copy(update={"lr": 1e30}),
        "predict": PARAMS.predict.model_copy(update={"lr": 1e30}),
    }
    params = PARAMS.model_copy(update=fast)
    said = rf"^{contender}, seed 3: lr = 1e\+30: must be smaller, .* nan in epoch \d+, step \d+ of"
    train = {
        "calm": partial(train_calm, CalmJob(data, params, shape_of(params.calm, 4), 4_000, 3)),
        "predictor": partial(train_predictor, PredictorJob(data, params, 8, 3)),
    }
    with pytest.raises(DivergedError, match=said):
        train[contender]()
