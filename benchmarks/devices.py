"""Score, train and draw with every model for real, on one device, and score again on the CPU.

    PYTHONPATH=src .venv/bin/python benchmarks/devices.py --device cuda

Models are small, and so is their data: it takes a minute, most of it to start the GPU. A row for
each model says by how much its scores differ from those of the CPU, and the loss of a step of
`fit`; the codec's says how far its latents and its sound differ. It ends with an error if a number
is not finite, or differs by more than rounding does. `--dtype bfloat16` is for the step alone, as
in stages. `tests/test_devices_benchmark.py` runs the same work on the CPU.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mimi_dynamics.codec.base import Codec
from mimi_dynamics.codec.loading import untrained_codec
from mimi_dynamics.density.devices import on_device, to_device_of
from mimi_dynamics.density.heads import HEADS
from mimi_dynamics.density.predictor import Predictor, make_conditional, make_marginal
from mimi_dynamics.density.training import MakeOptimizers, TrainingParams, fit, losses
from mimi_dynamics.density.trunk import feature_count
from mimi_dynamics.density.var import fit_var
from mimi_dynamics.diagnostics.processes import PROCESSES
from mimi_dynamics.encoding.batches import encode_batch
from mimi_dynamics.encoding.corpus import relative_difference
from mimi_dynamics.generation.continuations import make_decoder
from mimi_dynamics.generation.generator import Generator
from mimi_dynamics.generation.rollouts import Starts, linear_floor
from mimi_dynamics.latents.normalizer import fit_normalizer
from mimi_dynamics.latents.sequences import Batch, Sequences, make_batches
from mimi_dynamics.latents.states import make_candidate
from mimi_dynamics.pipeline.devices import CPU, device_of
from mimi_dynamics.pipeline.params import PLAIN, ComputeParams, load_params
from mimi_dynamics.studies.calm.heads import CALM_HEADS
from mimi_dynamics.studies.calm.model import CalmTraining, make_calm, moments, shape_of
from mimi_dynamics.studies.engram.keys import make_keys
from mimi_dynamics.studies.engram.model import Shape, build, make_optimizers, trunk_of
from mimi_dynamics.studies.engram.study import Subject
from mimi_dynamics.studies.rssm.baselines import FrameVae
from mimi_dynamics.studies.rssm.measures import Readout
from mimi_dynamics.studies.rssm.model import Rssm, RssmShape
from mimi_dynamics.studies.rssm.objective import RssmTraining
from mimi_dynamics.studies.rssm.recursive import RecursiveRssm, RecursiveShape, RecursiveTraining
from mimi_dynamics.studies.rssm.sufficiency import NewestState
from mimi_dynamics.studies.rssm.training import encode_states

PARAMS = load_params(Path(__file__).parents[1] / "params.yaml")
DATA = PROCESSES["linear"].simulate(clips=40, frames=30, dim=4, seed=0)
WARMUP, BATCH_FRAMES, WIDTH, COMPONENTS, STATE_DIM = 4, 256, 16, 2, 2
LR = 0.001
TOLERANCE = 1e-3  # of scores in nats and of shares; products on a GPU are rounded in another order
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Work:
    """What one model does in the pipeline.

    Attributes:
        training: maps a batch to the (scored,) losses of its targets.
        batch: what it is trained and scored on.
        models: all that draws.
        draw: draws where `models` are, and brings it to the CPU; None where nothing is ever drawn.
        same: whether scores are the same everywhere; some depend on noise of the device.
        make_optimizers: as of `fit`.
    """

    training: nn.Module
    batch: Batch
    models: nn.ModuleList
    draw: Callable[[], Tensor] | None
    same: bool = True
    make_optimizers: MakeOptimizers | None = None


def batches(data: Sequences, split: str = "train", horizon: int = 1) -> list[Batch]:
    """Give the batches of one split."""
    return make_batches(data.select(split), horizon, WARMUP if horizon else 0, BATCH_FRAMES)


def predictor(data: Sequences, head: str) -> Predictor:
    """Build the density of the next frame, away from its start, where it knows no past."""
    torch.manual_seed(0)
    train, validation = batches(data), batches(data, "validation")
    marginal = make_marginal(fit_var(train, validation, 0), head, WIDTH, COMPONENTS)
    model = make_conditional(marginal, fit_var(train, validation, 2), WIDTH, dropout=0.1)
    return awake(model)


def awake(model: M) -> M:
    """Move all weights a little, for some start at zero and would hide what they multiply."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return model


def paths(generator: Generator) -> Tensor:
    """Draw free-running frames, as stages do."""
    starts, steps = Starts(np.arange(3), np.full(3, 8), np.full(3, 20)), np.array([4, 3, 2])
    return generator.paths("test", starts, steps, samples=2)


def density(head: str) -> Work:
    """The predictor with one of the heads."""
    model = predictor(DATA, head)
    draw = partial(paths, Generator(model, DATA))
    return Work(model, batches(DATA)[0], nn.ModuleList([model]), draw)


def linear() -> Work:
    """The VAR in the form of a predictor; what is trained is a predictor of the newest state."""
    model = predictor(DATA, "mdn")
    model.trunk = NewestState(DATA.dim, feature_count(DATA.dim, WIDTH), dropout=0.1)
    floor = linear_floor(fit_var(batches(DATA), batches(DATA, "validation"), 2))
    draw = partial(paths, Generator(floor, DATA))
    return Work(model, batches(DATA)[0], nn.ModuleList([floor]), draw)


def calm(kind: str) -> Work:
    """CALM with one of its heads."""
    torch.manual_seed(0)
    small = {"head": kind, "layers": 2, "head_depth": 1, "head_batch": 2, "context_frames": 8}
    shape = shape_of(PARAMS.calm.model_copy(update=small), DATA.dim)
    model = awake(make_calm(replace(shape, width=WIDTH), *moments(DATA)))
    draw = partial(paths, Generator(model, DATA))
    training, models = CalmTraining(model, steps=1), nn.ModuleList([model])
    return Work(training, batches(DATA)[0], models, draw, same=False)


def rssm(stride: int) -> Work:
    """The factorisation, and frames from its states, which a predictor goes on with."""
    torch.manual_seed(0)
    shape = RssmShape(DATA.dim, STATE_DIM, stride, 3, WIDTH, "gaussian", COMPONENTS)
    model = awake(Rssm(shape))
    training = RssmTraining(model, PARAMS.rssm, budget=1.0, steps=1)
    states = encode_states(model.eval(), DATA)
    known = make_candidate("z_dyn", DATA, states, 1, 0).updates
    step = predictor(known, "flow")
    draw, models = partial(paths, Generator(step, known, model)), nn.ModuleList([step, model])
    return Work(training, batches(DATA, horizon=0)[0], models, draw, same=False)


def recursive() -> Work:
    """The factorisation whose state z_rec drives, and frames that it draws from nothing."""
    torch.manual_seed(0)
    model = awake(RecursiveRssm(RecursiveShape(DATA.dim, STATE_DIM, 3, WIDTH)))
    training = RecursiveTraining(model, PARAMS.rssm, budget=1.0, steps=1)
    batch = batches(DATA, horizon=0)[0]

    def draw() -> Tensor:
        with torch.no_grad():
            start = model.encoder.inputs.weight.new_zeros(3, STATE_DIM)
            return model.generate(model.encoder.roll(start, 2)).to(CPU)

    return Work(training, batch, nn.ModuleList([model]), draw, same=False)


def engram() -> Work:
    """The predictor with a memory."""
    predict = PARAMS.predict.model_copy(
        update={"warmup_frames": WARMUP, "batch_frames": BATCH_FRAMES, "components": COMPONENTS}
    )
    keys = make_keys("kmeans", DATA, np.zeros(len(DATA.frames), np.int64), 8, 2, 0)
    (batch, *_) = Subject("raw", DATA, keys, None, predict).batches("train")
    train, validation = batches(DATA), batches(DATA, "validation")
    settings = PARAMS.engram.model_copy(update={"rows": 101, "width": WIDTH})
    models = fit_var(train, validation, 2), fit_var(train, validation, 0), keys.count
    model = awake(build(Shape(*models, settings, predict), "engram", WIDTH, seed=0))

    def draw() -> Tensor:
        with torch.no_grad():
            here = to_device_of(model, batch)
            openness = trunk_of(model).openness(here).expand(2, -1)[..., None]
            return torch.cat([model.sample(here, 2), openness], -1).to(CPU)

    optimizers = partial(make_optimizers, table_lr=settings.table_lr)
    return Work(model, batch, nn.ModuleList([model]), draw, make_optimizers=optimizers)


def rival(kind: type[nn.Module], *sizes: int) -> Work:
    """A network of single frames, of which nothing is drawn."""
    torch.manual_seed(0)
    return Work(awake(kind(*sizes)), batches(DATA, horizon=0)[0], nn.ModuleList(), None)


WORK: dict[str, Callable[[], Work]] = {
    **{f"head {name}": partial(density, name) for name in HEADS},
    "newest state": linear,
    **{f"calm {kind}": partial(calm, kind) for kind in CALM_HEADS},
    **{f"rssm, stride {stride}": partial(rssm, stride) for stride in (1, 2)},
    "rssm, recursive": recursive,
    "engram": engram,
    "vae": partial(rival, FrameVae, DATA.dim, STATE_DIM, WIDTH),
    "readout": partial(rival, Readout, DATA.dim, DATA.dim),
}


def scores(work: Work, compute: ComputeParams) -> Tensor:
    """Give the (scored,) losses of the batch, without dropout."""
    with on_device(work.training, compute):
        return losses(work.training, [work.batch]).to(CPU)


def do(work: Work, compute: ComputeParams) -> dict[str, Tensor]:
    """Give (scored,) scores, the lower of the mean losses before and after a step, and draws."""
    found = {"scores": scores(work, compute)}
    training = TrainingParams(LR, epochs=1, compute=compute)
    generator = torch.Generator().manual_seed(0)
    both = [work.batch], [work.batch]
    best = fit(work.training, *both, training, generator, work.make_optimizers)
    found["loss"] = torch.tensor(best, device=CPU)
    if work.draw is not None:
        with on_device(work.models, compute):
            found["drawn"] = work.draw()
    return found


def make_codec(compute: ComputeParams) -> Codec:
    """Build an untrained mimi-mini."""
    codec = untrained_codec(PARAMS.codec.model_copy(update={"name": "mimi-mini"}), seed=0)
    codec.model.to(device_of(compute))
    return codec


def code(codec: Codec) -> dict[str, np.ndarray]:
    """Encode noise of two lengths and decode it: latents of both in a row, and sound."""
    random = np.random.default_rng(0)
    clips = [0.1 * random.standard_normal(n).astype(np.float32) for n in (48_000, 30_000)]
    latents = np.concatenate([clip.latent for clip in encode_batch(codec, clips)])
    normalizer = fit_normalizer(latents, dim=8)
    coordinates = torch.from_numpy(normalizer.normalize(latents))
    return {"latents": latents, "sound": make_decoder(codec, normalizer)(coordinates)}


def main() -> None:
    """Do all work on one device, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    compute, wrong = ComputeParams(**vars(parser.parse_args()), compile=False), []
    for name, make in WORK.items():
        found, here = do(make(), compute), scores(make(), PLAIN)
        apart = float((found["scores"] - here).abs().max())
        print(
            f"{name:20} scores differ by {apart:.1e}, loss {float(found['loss']):.3f}", flush=True
        )
        if not all(value.isfinite().all() for value in found.values()):
            wrong.append(f"{name}: not finite")
        if make().same and apart > TOLERANCE:
            wrong.append(f"{name}: scores differ by {apart:.1e}")
    coded, expected = code(make_codec(compute)), code(make_codec(PLAIN))
    for name, values in coded.items():
        apart = relative_difference(values, expected[name])
        print(f"{name:20} differ by {apart:.1e} of their norm", flush=True)
        if not apart <= TOLERANCE:
            wrong.append(f"{name}: differ by {apart:.1e}")
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
