"""Every codec hears no more than it says, and is the same by batch, alone or streamed."""

import math
import pickle
from typing import get_args

import pytest
import torch

from mimi_dynamics.codec import base
from mimi_dynamics.codec.base import SAMPLE_RATE, Codec
from mimi_dynamics.codec.loading import CODECS, load_codec, untrained_codec
from mimi_dynamics.encoding.batches import encode_batch
from mimi_dynamics.pipeline import conventions
from mimi_dynamics.pipeline.params import CodecName
from tests.harness.tiny_codec import load_tiny, tiny_params, two_sounds, why_no_lyra
from tests.harness.tiny_hf import KINDS, hf_params, why_no_hf, write_hf
from tests.harness.tiny_pocket_tts import why_no_pocket_tts, write_pocket_tts

pytestmark = pytest.mark.trains  # mimi-mini, for some steps

MARKS = {
    "mimi": [pytest.mark.slow],  # One of Mimi's own size takes 400 MB.
    "lyra": [pytest.mark.skipif(bool(why_no_lyra()), reason=why_no_lyra())],
    "pocket-tts": [pytest.mark.skipif(bool(why_no_pocket_tts()), reason=why_no_pocket_tts())],
}
NO_HF = pytest.mark.skipif(bool(why_no_hf()), reason=why_no_hf())
ALL = [
    *(pytest.param(name, marks=MARKS.get(name, [])) for name in CODECS),
    *(pytest.param(f"hf:{kind}", marks=NO_HF) for kind in KINDS),
]


@pytest.fixture(scope="module", params=ALL)
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """Each codec, small where that can be said, and without a download."""
    if request.param == "mimi-mini":
        return load_tiny(tmp_path_factory.mktemp("codec"))
    if request.param.startswith("hf:"):
        kind = request.param.removeprefix("hf:")
        return load_codec(hf_params(write_hf(kind, tmp_path_factory.mktemp(kind))))
    if request.param == "pocket-tts":
        return load_codec(write_pocket_tts(tmp_path_factory.mktemp("pocket_tts")))
    params = tiny_params().model_copy(update={"name": request.param})
    return load_codec(params) if request.param == "lyra" else untrained_codec(params, seed=0)


@pytest.fixture(scope="module")
def audio() -> torch.Tensor:
    """Two different sounds (2, samples) of 12 frames."""
    return two_sounds()


def decoded(codec: Codec, latents: torch.Tensor) -> torch.Tensor:
    """Sound of latents; a codec that is an encoder alone skips what needs it."""
    try:
        return codec.decode(latents)
    except NotImplementedError as lacking:
        pytest.skip(str(lacking))


def test_shapes(codec: Codec, audio: torch.Tensor) -> None:
    """Of latents, codes and audio, for a clip that ends within a frame."""
    latents = codec.encode(audio[:, :-100])
    codes = codec.quantize(latents)
    assert latents.shape == (2, 12, codec.dim)
    assert latents.dtype == torch.float32
    assert codes.shape == (2, 12, codec.codebooks)
    assert ((codes >= 0) & (codes < codec.bins)).all()
    assert decoded(codec, latents).shape == audio.shape
    if codec.codebooks:
        assert codec.decode_codes(codes).shape == audio.shape


def test_future_does_not_reach_the_past(codec: Codec, audio: torch.Tensor) -> None:
    """Other audio from frame 7 on: the same latents before what hears it, others after."""
    if codec.hears_ahead is None:
        pytest.skip(f"every frame of {codec.name} hears the whole clip")
    heard = 7 - math.ceil(codec.hears_ahead * codec.frame_rate)
    changed = audio.clone()
    changed[:, 7 * codec.frame_size :] = audio.flip(0)[:, 7 * codec.frame_size :]
    before, after = codec.encode(audio), codec.encode(changed)
    torch.testing.assert_close(before[:, :heard], after[:, :heard])
    assert (before[:, 7:] - after[:, 7:]).abs().amax((0, 2)).min() > 1e-4


def test_nothing_is_heard_from_further_back_than_said(codec: Codec, audio: torch.Tensor) -> None:
    """Other audio up to some sample: the same latents of all frames that are further off."""
    if codec.hears_back is None or codec.hears_back > 0.8:
        pytest.skip("hears further back than the sounds of the tests are long")
    start, last = 10 * codec.frame_size, 0
    for late, equal in ((0, True), (2 * codec.frame_size, False)):
        last = start - math.ceil(codec.hears_back * SAMPLE_RATE) + late
        changed = audio.clone()
        changed[:, :last] = audio.flip(0)[:, :last]
        before, after = codec.encode(audio)[:, 10], codec.encode(changed)[:, 10]
        # What is summed in another order may be rounded otherwise.
        assert torch.allclose(before, after, rtol=1e-5, atol=1e-6) == equal


def test_batch_equals_single(codec: Codec, audio: torch.Tensor) -> None:
    """Also for the shorter of two clips, which is padded."""
    short = audio[1, : 5 * codec.frame_size - 300]
    padded = torch.zeros_like(audio)
    padded[0], padded[1, : len(short)] = audio[0], short
    together = codec.encode(padded)
    if codec.hears_ahead is None:
        together[1, :5] = torch.from_numpy(
            encode_batch(codec, [audio[0].numpy(), short.numpy()])[1].latent
        )
    rounding = 1e-6 * max(1.0, together.abs().max().item())  # weights at random may be larger
    torch.testing.assert_close(together[:1], codec.encode(audio[:1]), rtol=1e-4, atol=rounding)
    alone = codec.encode(short[None])
    torch.testing.assert_close(together[1:, :5], alone, rtol=1e-4, atol=rounding)


@pytest.mark.parametrize("frames", [1, 3])
def test_streaming_equals_batch(codec: Codec, audio: torch.Tensor, frames: int) -> None:
    """Both ways, also where the transformers no longer see the beginning (4 frames)."""
    if not codec.can_stream:
        pytest.skip(f"{codec.name} does not stream")
    latents = codec.encode(audio)
    with codec.streaming(2, frames):
        parts = [codec.encode(part) for part in audio.split(frames * codec.frame_size, dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), latents, rtol=1e-4, atol=1e-6)
    with codec.streaming(2, frames):
        sounds = [codec.decode(part) for part in latents.split(frames, dim=1)]
    whole = codec.decode(latents)
    # Sums in another order: of a random Mimi 1.1 times what the last bit of latents changes.
    last_bit = latents * torch.finfo(latents.dtype).eps
    rounding = 2 * (codec.decode(latents + last_bit) - whole).abs().max().item()
    late, samples = codec.decode_delay, whole.shape[1] - codec.decode_delay
    streamed = torch.cat(sounds, 1)[:, late:]
    torch.testing.assert_close(streamed, whole[:, :samples], rtol=1e-4, atol=rounding)


def test_gradients_flow_through_but_not_into_the_codec(codec: Codec, audio: torch.Tensor) -> None:
    """A later model may train on decoded sound."""
    if not codec.is_differentiable:
        pytest.skip(f"{codec.name} has no gradients")
    latents = codec.encode(audio).requires_grad_()
    decoded(codec, latents).square().mean().backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in codec.model.parameters())


def test_the_same_bits_twice_and_in_another_process(codec: Codec, audio: torch.Tensor) -> None:
    """Whatever was encoded before; only what passes through pickle reaches another process."""
    first = codec.encode(audio)
    codec.encode(audio.flip(1))
    sent = pickle.loads(pickle.dumps(codec))
    for again in (codec, sent):
        assert torch.equal(first, again.encode(audio))
        assert torch.equal(codec.quantize(first), again.quantize(first))


def test_every_codec_that_settings_may_name_is_there() -> None:
    assert set(get_args(CodecName)) == CODECS.keys()


def test_the_rate_that_light_modules_assume_is_that_of_mimi() -> None:
    """They do not import moshi, which takes seconds, to know it."""
    assert conventions.FRAME_RATE == base.FRAME_RATE
