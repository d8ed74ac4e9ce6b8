"""Heads that can be sampled but have no density: consistency, flow matching and LSD.

Each draws a frame y given a context, where y has mean 0 and variance 1 in every coordinate. Each
has the loss that trains it: for every frame, the weighted loss to minimise, and the unweighted
error.
"""

import math

import torch
from torch import Tensor

from mimi_dynamics.studies.calm.adaln_mlp import Dual
from mimi_dynamics.studies.calm.head_base import END, CalmHead, Loss

# Mean and standard deviation of log tan t, which is normal (Lu & Song 2024, arXiv 2410.11081).
# They use −1 and 1.4 for images.
PROPOSAL_MEAN, PROPOSAL_SPREAD = -0.8, 1.4
TANGENT_FLOOR = 0.1  # the constant c in g / (|g| + c)
DISTILLED_SHARE = 0.25  # share of samples that LSD distils; the others match the flow


class ConsistencyHead(CalmHead):
    """Continuous-time consistency training on the path y_t = cos t · y + sin t · ε (TrigFlow).

    f(y_t, t) = cos t · y_t − sin t · F(y_t, t) should be the same all along the probability flow. F
    is moved along g = cos t · df/dt, with the velocity of the sampled pair (y, ε) in place of that
    of the flow (Lu & Song 2024, arXiv 2410.11081, section 4); there is no teacher.
    """

    times = 1

    def generate(self, context: Tensor) -> Tensor:
        """Denoise from the end of time; with several steps, noise is added again between them."""
        rows, steps = len(context), self.shape.steps
        clean = torch.zeros(rows, self.dim, device=context.device)
        for time in (END * (1 - step / steps) for step in range(steps)):
            cos, sin = math.cos(time), math.sin(time)
            noisy = cos * clean + sin * self.noise(context)
            at = context.new_full((rows, 1), time)
            clean = cos * noisy - sin * self.network(noisy, [at], context)
        return clean

    def losses_once(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """Move F along the tangent; the error is the whole |cos t · df/dt|², not normalised."""
        time = self.draw_times(target)
        noise = torch.randn_like(target)
        noisy = time.cos() * target + time.sin() * noise
        velocity = time.cos() * noise - time.sin() * target
        prediction, stable, unstable = self.tangent(noisy, velocity, time, context)
        warmup = self.shape.tangent_warmup
        tangent = stable + (min(1.0, progress / warmup) if warmup else 1.0) * unstable
        if self.shape.tangent_normalisation:
            tangent = tangent / (tangent.norm(dim=-1, keepdim=True) + TANGENT_FLOOR)
        wanted = prediction.detach() + tangent
        return self.weighted(prediction - wanted, stable + unstable, time)

    def tangent(
        self, noisy: Tensor, velocity: Tensor, time: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute F, and cos t · df/dt along the velocity as a stable and an unstable half.

        The halves have no gradient. The stable half, that of F − v, needs no derivative of the
        network. The other half is what makes training unstable, and what makes this a consistency
        model.

        Args:
            noisy: (rows, dim) points y_t on the path.
            velocity: (rows, dim) their velocity.
            time: (rows, 1) their times t.
            context: (rows, context_dim) context.
        """
        cos, sin = time.cos(), time.sin()
        # The direction is scaled by cos t · sin t beforehand, so that no large numbers occur.
        scale = cos * sin
        prediction = self.network.dual(Dual(noisy, scale * velocity), [Dual(time, scale)], context)
        with torch.no_grad():
            stable = cos.square() * (velocity - prediction.value)
            return prediction.value, stable, -(scale * noisy + prediction.tangent)

    def draw_times(self, target: Tensor) -> Tensor:
        """Draw times in (0, π/2) for (rows, dim) targets, as (rows, 1)."""
        rows, device = len(target), target.device
        if self.shape.time_proposal:
            normal = torch.randn(rows, 1, device=device)
            return (PROPOSAL_MEAN + PROPOSAL_SPREAD * normal).exp().atan()
        return END * torch.rand(rows, 1, device=device)


class FlowHead(CalmHead):
    """Flow matching on the straight path y_t = (1 − t) ε + t y, from noise to data.

    F(x, s, t) is the mean velocity between two times. On the diagonal, which is what flow matching
    trains, it is the velocity. Samples take `steps` steps of Euler's method.
    """

    times = 2

    def generate(self, context: Tensor) -> Tensor:
        """Follow the flow from noise at time 0 to data at time 1."""
        sample = self.noise(context)
        for step in range(self.shape.steps):
            begin, end = (
                context.new_full((len(context), 1), (step + more) / self.shape.steps)
                for more in (0, self.jump)
            )
            sample = sample + self.network(sample, [begin, end], context) / self.shape.steps
        return sample

    jump = 0  # 1 if a step uses the mean velocity over the whole step

    def losses_once(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """Compute the squared error of the velocity of the pair (target, noise)."""
        time = torch.rand(len(target), 1, device=target.device)
        noise = torch.randn_like(target)
        noisy = (1 - time) * noise + time * target
        gap = self.network(noisy, [time, time], context) - (target - noise)
        return self.weighted(gap, gap, time, time)


class LsdHead(FlowHead):
    """Lagrangian self-distillation (Boffi et al. 2025, arXiv 2505.18825), as in Pocket TTS.

    Three quarters of the samples match the flow. The others require that the map
    X_st(x) = x + (t − s) F(x, s, t) moves, as t does, with the velocity at the point where it
    arrives.
    """

    jump = 1

    def losses_once(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """Distil some samples and match the rest; gradients pass through the derivative by t."""
        distilled = round(DISTILLED_SHARE * len(target))
        # The distilled samples change every time: a frame that is never matched would teach
        # nothing.
        order = torch.randperm(len(target), device=target.device)
        context, target = context[order], target[order]
        matched = super().losses_once(context[distilled:], target[distilled:], progress)
        context, target = context[:distilled], target[:distilled]
        begin = torch.rand(distilled, 1, device=target.device)
        end = begin + (1 - begin) * torch.rand_like(begin)
        start = (1 - begin) * torch.randn_like(target) + begin * target
        times = [Dual(begin), Dual(end, torch.ones_like(end))]
        prediction = self.network.dual(Dual(start), times, context)
        speed = prediction.value + (end - begin) * prediction.tangent  # d/dt X_st
        with torch.no_grad():
            arrived = start + (end - begin) * prediction.value
            velocity = self.network(arrived, [end, end], context)
        gap = speed - velocity
        lagrangian = self.weighted(gap, gap, begin, end)
        losses = (torch.cat(parts) for parts in zip(lagrangian, matched, strict=True))
        return Loss(*(part[order.argsort()] for part in losses))


CALM_HEADS: dict[str, type[CalmHead]] = {
    "consistency": ConsistencyHead,
    "flow_matching": FlowHead,
    "lsd": LsdHead,
}
