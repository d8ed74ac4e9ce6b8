"""Wherever and by however many processes a model is trained, it is the same training."""

import copy
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from mimi_dynamics.density import devices
from mimi_dynamics.density.devices import BatchLoss
from mimi_dynamics.density.fit import FitSpec, fit_densities
from mimi_dynamics.density.predictor import Predictor, make_conditional, make_marginal
from mimi_dynamics.density.training import GRADIENT_NORM, TrainingParams, fit, mean_loss
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.devices import device_of
from mimi_dynamics.pipeline.distributed import process_group
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, Params
from mimi_dynamics.pipeline.stage import run_stage
from tests.density.test_fit import SMALL
from tests.harness import ROOT, shared_training
from tests.harness.simulation import simulate
from tests.harness.torchrun import torchrun
from tests.studies.predict.test_predict import write_inputs

CUDA = ComputeParams(device="cuda", dtype="float32", compile=False)
DATA = simulate("linear", 4000, 3)
TRAIN, VALIDATION = (
    DATA.batches(split, 1, 8, 200, delta=False) for split in ("train", "validation")
)


def predictor(head: str = "flow") -> Predictor:
    """The same at every call."""
    torch.manual_seed(0)
    marginal = make_marginal(fit_var(TRAIN, VALIDATION, 0), head, 16, 3)
    return make_conditional(marginal, fit_var(TRAIN, VALIDATION, 2), 16, 0.1)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """To the bit."""
    return copy.deepcopy(model.state_dict())


@pytest.mark.trains
def test_by_default_the_loop_is_the_plain_one_to_the_bit() -> None:
    """Written out here with nothing of `compute` in it: same weights, same loss, dropout too."""
    epochs, lr = 2, 0.004
    plain, ours = predictor(), predictor()
    steps = epochs * len(TRAIN)
    warmup = int(0.05 * steps)
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=lr, fused=True)
    best, kept, step = mean_loss(plain, VALIDATION), weights(plain), 0
    for _ in range(epochs):
        plain.train()
        for index in torch.randperm(len(TRAIN), generator=generator).tolist():
            done = (step - warmup) / (steps - warmup)
            rate = (step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * done))
            optimizer.param_groups[0]["lr"] = lr * rate
            loss = plain(TRAIN[index]).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(plain.parameters(), GRADIENT_NORM)
            optimizer.step()
            step += 1
        if (found := mean_loss(plain, VALIDATION)) < best:
            best, kept = found, weights(plain)
    torch.manual_seed(1)
    params = TrainingParams(lr, epochs)
    assert fit(ours, TRAIN, VALIDATION, params, torch.Generator().manual_seed(2)) == best
    assert all(torch.equal(kept[name], value) for name, value in ours.state_dict().items())


def shares(
    batch: Batch, processes: int, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Batch, bool]]:
    """What each of some processes would take of a batch, and whether it counts."""
    loss = BatchLoss(predictor(), PLAIN)
    loss.processes = processes
    found = []
    for rank in range(processes):
        monkeypatch.setattr(devices.dist, "get_rank", lambda rank=rank: rank)
        found.append(loss._share(batch))
    return found


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_shares_are_the_batch(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every target once, with its own past; and their weighted losses average to the mean loss."""
    batch, model = TRAIN[0], predictor().eval()
    assert len(batch.scored) == 4
    found = shares(batch, processes, monkeypatch)
    counted = [share for share, counts in found if counts]
    assert len(counted) == min(processes, 4)
    assert sorted(torch.cat([s.frame for s in counted]).tolist()) == sorted(batch.frame.tolist())
    for share, _ in found:
        assert len(share.frame) == int(share.scored.sum())
        assert torch.equal(DATA.select("train").frames[share.frame], share.target[share.scored])
    weighted = [model(s).sum() * counts * processes / len(batch.frame) for s, counts in found]
    torch.testing.assert_close(torch.stack(weighted).mean(), model(batch).mean())


def test_cuda_that_is_not_there_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the check at the start of a stage, and by training itself."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    problem = r"^compute\.device = 'cuda': CUDA devices here: 0, needed: at least 1"
    for attempt in (
        lambda: device_of(CUDA),
        lambda: process_group(CUDA).__enter__(),
        lambda: fit_densities(FitSpec("real", DATA, "gaussian", 1, SMALL, 0, compute=CUDA)),
    ):
        with pytest.raises(InputError, match=problem) as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert device_of(CUDA) == torch.device("cuda", int(rank))
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match=r"CUDA devices here: 2, needed: at least 3"):
        device_of(CUDA)


def test_stages_that_do_not_share_refuse_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each process would write the same files."""

    def measure(_: Params) -> None:
        raise AssertionError

    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["measure.py"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match=r"^measure: error: WORLD_SIZE = 2: must be 1"):
        run_stage(measure)


def nll(compute_params: ComputeParams, head: str) -> float:
    """Of a conditional, per dimension."""
    job = FitSpec("real", DATA, head, 1, SMALL, 0, compute=compute_params)
    return float(fit_densities(job)["conditional"].nll["test"].mean()) / DATA.dim


@pytest.mark.trains
@pytest.mark.parametrize("head", ["gaussian", "flow"])
def test_half_the_bits_in_training_find_the_same(head: str) -> None:
    """Within 0.01 nats per dimension; and it is not the same training by another name."""
    half = PLAIN.model_copy(update={"dtype": "bfloat16"})
    plain, found = nll(PLAIN, head), nll(half, head)
    assert found == pytest.approx(plain, abs=0.01)
    assert found != plain


@pytest.mark.trains
@pytest.mark.slow
@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="by ATEN_CPU_CAPABILITY torch leaves out the headers that its compiled code includes",
)
@pytest.mark.parametrize("head", ["gaussian", "flow"])
def test_compiled_training_finds_the_same(head: str) -> None:
    """But for rounding."""
    compiled = PLAIN.model_copy(update={"compile": True})
    assert nll(compiled, head) == pytest.approx(nll(PLAIN, head), abs=0.005)


@pytest.mark.trains
@pytest.mark.slow
@pytest.mark.parametrize("head", ["gaussian", "mdn", "autoregressive", "flow"])
def test_two_processes_have_the_loss_curve_of_one(head: str, tmp_path: Path) -> None:
    """After every step; and both end with the same weights, to the bit."""
    shared_training.main(head, tmp_path)
    torchrun("-m", "tests.harness.shared_training", head, str(tmp_path))
    alone, first, second = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "0", "1")
    )
    assert len(alone["curve"]) == 2 * alone["batches"]
    assert max(alone["curve"]) - min(alone["curve"]) > 0.5
    # 2e-7 was seen, and 2e-3 with shares that are not weighted by their targets.
    np.testing.assert_allclose(first["curve"], alone["curve"], rtol=0, atol=1e-5)
    assert first["curve"] == second["curve"]
    assert first["weights"] == second["weights"]
    assert first["best"] == pytest.approx(alone["best"], abs=1e-5)


@pytest.mark.trains
@pytest.mark.slow
def test_two_processes_write_what_one_does(tmp_path: Path) -> None:
    """The whole stage `predict`, once: gains within 0.005 nats per dimension."""
    settings = YAML().load(ROOT / "params.yaml")
    settings["predict"].update(heads=["gaussian", "flow"], width=16, components=3, dropout=0.0)
    settings["predict"].update(epochs=2, pretrain_epochs=1, batch_frames=250, min_steps=1)
    settings["predict"].update(var_order=2, linear_order=2, bootstrap_samples=100)
    YAML().dump(settings, tmp_path / "params.yaml")
    write_inputs("linear", tmp_path)
    found = []
    for processes in (1, 2):
        torchrun(str(ROOT / "src/predict.py"), processes=processes, folder=tmp_path)
        found.append(json.loads((tmp_path / "metrics/detail/predict.json").read_text()))
    alone, shared = found
    assert alone["gain_nats_per_dim"] > 0.2
    for key in ("gain_nats_per_dim", "dynamic_gain_nats_per_dim"):
        assert shared[key] == pytest.approx(alone[key], abs=0.005)
    assert not (tmp_path / "runs/predict.lock").read_text()
