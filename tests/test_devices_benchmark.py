"""No model makes a tensor without saying where: what `benchmarks/devices.py` does, under guard."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import devices
from mimi_dynamics.latents.sequences import Batch
from mimi_dynamics.pipeline.params import PLAIN
from mimi_dynamics.studies.calm import model as calm_model
from mimi_dynamics.studies.rssm import objective as rssm_objective
from tests.harness.device_guard import ELSEWHERE, DeviceGuard, elsewhere

DRAWN = [name for name in devices.WORK if name not in ("vae", "readout")]


class Places(tuple[Tensor, ...]):
    """Picks what a mask picks, by indices: without numbers, nobody knows how many that are."""

    shape: torch.Size

    def __new__(cls, places: tuple[Tensor, ...], shape: torch.Size) -> "Places":
        """Take the indices of all dimensions, and the shape of the mask."""
        made = super().__new__(cls, places)
        made.shape = shape
        return made


@pytest.fixture
def no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what looks at numbers, or at the state of generators, which are not there."""
    for module in (calm_model, rssm_objective):
        monkeypatch.setattr(module, "draws_of", lambda _: nullcontext())
    monkeypatch.setattr(Distribution, "_validate_args", False)
    # Torch has no fake of this one.
    monkeypatch.setattr(torch, "_standard_gamma", torch.rand_like)


@pytest.mark.parametrize("name", devices.WORK)
def test_models_say_where_every_new_tensor_is(name: str) -> None:
    """In scoring, in a step of training and in drawing; and all that they give is finite."""
    work = devices.WORK[name]()
    with DeviceGuard():
        found = devices.do(work, PLAIN)
    assert all(value.isfinite().all() for value in found.values())
    assert ("drawn" in found) == (name in DRAWN)


@pytest.mark.usefixtures("no_numbers")
@pytest.mark.parametrize("name", devices.WORK)
def test_scores_are_made_elsewhere(name: str) -> None:
    """Where the model is, of nothing that is on the CPU."""
    work = devices.WORK[name]()
    model, batch = work.training.eval(), work.batch
    places = batch.scored.nonzero(as_tuple=True)

    def score(context: Tensor, target: Tensor, frame: Tensor, *moved: Tensor) -> Tensor:
        return model(Batch(context, target, Places(moved, batch.scored.shape), frame))

    scores = elsewhere(model, score, batch.context, batch.target, batch.frame, *places)
    assert (scores.device, len(scores)) == (ELSEWHERE, len(batch.frame))


@pytest.mark.usefixtures("no_numbers")
@pytest.mark.parametrize("name", [name for name in DRAWN if name != "engram"])
def test_draws_are_made_elsewhere_and_brought_back(name: str) -> None:
    """All but of `engram`, which draws at the places of a mask: without numbers it has none."""
    work = devices.WORK[name]()
    work.models.eval()
    expected = work.draw()
    drawn = elsewhere(work.models, work.draw)
    assert drawn.device.type == "cpu"
    assert drawn.shape == expected.shape


def test_the_codec_says_so_too() -> None:
    codec = devices.make_codec(PLAIN)
    with DeviceGuard():
        found = devices.code(codec)
    assert len(found["sound"]) == codec.frame_size * len(found["latents"])


def test_guard_notices_what_is_without_a_device() -> None:
    like = torch.zeros(2)
    makers = (lambda: torch.zeros(2), lambda: torch.arange(3), lambda: torch.randn(like.shape))
    with DeviceGuard():
        for make in makers:
            with pytest.raises(AssertionError, match=r"^torch\.\w+ is called without device="):
                make()
        assert len(torch.zeros(2, device=like.device) + torch.rand_like(like)) == 2


def test_devices_do_not_mix_elsewhere() -> None:
    model = nn.Linear(2, 2)

    def mixed(rows: Tensor) -> Tensor:
        return model(rows) + torch.ones(3, 2)

    assert elsewhere(model, model.forward, torch.ones(3, 2)).device == ELSEWHERE
    with pytest.raises(RuntimeError, match=r"two different devices lazy:0, cpu"):
        elsewhere(model, mixed, torch.ones(3, 2))
