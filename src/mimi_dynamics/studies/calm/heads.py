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
# Of LSD, as in Pocket TTS: mean and standard deviation of the logit of a time, the weight of
# self-distillation in the loss, and the share of samples for which it is computed.
LOGIT_MEAN, LOGIT_SPREAD = 0.4, 1.0
DISTILLATION_WEIGHT, DISTILLED_SHARE = 0.25, 0.25


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
            return prediction.value, stable, -(scale * noisy + prediction.derivative)

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
        time = self.draw_times(target)
        noise = torch.randn_like(target)
        noisy = (1 - time) * noise + time * target
        gap = self.network(noisy, [time, time], context) - (target - noise)
        return self.weighted(gap, gap, time, time)

    def draw_times(self, target: Tensor) -> Tensor:
        """Draw times in (0, 1) for (rows, dim) targets, as (rows, 1)."""
        return torch.rand(len(target), 1, device=target.device)


class LsdHead(FlowHead):
    """Lagrangian self-distillation (Boffi et al. 2025, arXiv 2505.18825), after Pocket TTS.

    The loss is 0.75 times that of flow matching, of every sample, and 0.25 times that of
    self-distillation: the map X_st(x) = x + (t − s) F(x, s, t) must move, as t does, with the
    velocity at the point where it arrives. As that is dear, Pocket TTS distils at a quarter of the
    steps, divided by that share; here it is a quarter of the samples of every step, which costs
    as much and has the same mean. The logits of all times are normal. Two things differ: the
    adaptive weight is that of `AdaptiveWeight` and not a small network without a bound, and no
    gradient passes through the point at which the target is computed.
    """

    jump = 1

    def losses_once(self, context: Tensor, target: Tensor, progress: float) -> Loss:
        """Match all samples and distil some; gradients pass through the derivative by t."""
        matched = super().losses_once(context, target, progress)
        count = math.ceil(DISTILLED_SHARE * len(target))
        rows = torch.randperm(len(target), device=target.device)[:count]
        distilled = self.distil(context[rows], target[rows])
        weight = DISTILLATION_WEIGHT * len(target) / count
        return Loss(
            *(
                ((1 - DISTILLATION_WEIGHT) * whole).index_add(0, rows, weight * part)
                for whole, part in zip(matched, distilled, strict=True)
            )
        )

    def distil(self, context: Tensor, target: Tensor) -> Loss:
        """Compute the loss of self-distillation of every (rows, dim) target."""
        first, second = self.draw_times(target), self.draw_times(target)
        begin, end = torch.minimum(first, second), torch.maximum(first, second)
        start = (1 - begin) * torch.randn_like(target) + begin * target
        times = [Dual(begin), Dual(end, torch.ones_like(end))]
        prediction = self.network.dual(Dual(start), times, context)
        speed = prediction.value + (end - begin) * prediction.derivative  # d/dt X_st
        with torch.no_grad():
            arrived = start + (end - begin) * prediction.value
            velocity = self.network(arrived, [end, end], context)
        gap = speed - velocity
        return self.weighted(gap, gap, begin, end)

    def draw_times(self, target: Tensor) -> Tensor:
        """Draw times in (0, 1) for (rows, dim) targets, as (rows, 1)."""
        if not self.shape.time_proposal:
            return super().draw_times(target)
        normal = torch.randn(len(target), 1, device=target.device)
        return torch.sigmoid(LOGIT_MEAN + LOGIT_SPREAD * normal)


CALM_HEADS: dict[str, type[CalmHead]] = {
    "consistency": ConsistencyHead,
    "flow_matching": FlowHead,
    "lsd": LsdHead,
}
