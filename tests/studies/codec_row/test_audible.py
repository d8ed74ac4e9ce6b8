"""The gain that is heard is that of the components that are."""

import numpy as np
import pytest
import torch

from mimi_dynamics.latents.normalizer import Normalizer
from mimi_dynamics.latents.sequences import Sequences
from mimi_dynamics.latents.store import LATENT_KIND, Latents
from mimi_dynamics.pipeline.conventions import FRAME_RATE
from mimi_dynamics.pipeline.params import load_params
from mimi_dynamics.pipeline.without_audio import ENCODER_ALONE
from mimi_dynamics.studies.codec_row import audible as module
from mimi_dynamics.studies.codec_row.audible import audible
from mimi_dynamics.studies.codec_row.subjects import Subject
from tests.harness import ROOT
from tests.studies.codec_row.fake_codec import EchoCodec

CLIPS, FRAMES, RHO = 60, 200, 0.9
PARAMS = load_params(ROOT / "params.yaml")
TRUE = -0.5 * np.log(1 - RHO**2)  # nats, of the first of two components; the second is noise


def subject(kind: str = LATENT_KIND, rate: float = FRAME_RATE) -> Subject:
    """Two components, of which the first is an autoregression and the second white noise."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(CLIPS, FRAMES, 2))
    frames = noise.copy()
    for t in range(1, FRAMES):
        frames[:, t, 0] = RHO * frames[:, t - 1, 0] + np.sqrt(1 - RHO**2) * noise[:, t, 0]
    nothing = torch.zeros(CLIPS * FRAMES, dtype=torch.bool)
    data = Sequences(
        frames=torch.from_numpy(frames.reshape(-1, 2)).float(),
        voiced=~nothing,
        gated=nothing,
        lengths=np.full(CLIPS, FRAMES),
        splits=np.repeat(["train", "validation", "test"], CLIPS // 3),
    )
    whitening = Normalizer(np.zeros(2), np.eye(2), np.ones(2))
    not_read = np.zeros((8, 0))
    info = {"codec": "echo", "latent_kind": kind, "frame_rate": rate}
    return Subject("", Latents(*not_read, info), whitening, data, None, None)


@pytest.mark.parametrize(("effects", "heard"), [([1, 0], 1.0), ([0, 2], 0.0), ([3, 1], 0.75)])
def test_components_count_by_their_effect_on_the_sound(
    effects: list[float], heard: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "component_effects", lambda *_: np.array(effects, float))
    found = audible(subject(), EchoCodec(), PARAMS)
    assert found["audible_gain_nats_per_dim"] == pytest.approx(heard * TRUE, abs=0.03)
    assert found["audible_ratio"] == pytest.approx(2 * heard, abs=0.03)
    ends = found["audible_gain_nats_per_dim_ci_low"], found["audible_gain_nats_per_dim_ci_high"]
    assert ends[0] - 0.02 < heard * TRUE < ends[1] + 0.02


@pytest.mark.parametrize(("kind", "rate"), [(ENCODER_ALONE, FRAME_RATE), (LATENT_KIND, 75.0)])
def test_nothing_is_heard_without_a_decoder_or_at_another_rate(kind: str, rate: float) -> None:
    """Frames of 13 ms cannot be laid beside sound that is judged by frames of 80 ms."""
    assert audible(subject(kind, rate), EchoCodec(), PARAMS) == {}
