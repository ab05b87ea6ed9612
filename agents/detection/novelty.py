"""How unlike anything a success has shown: a score that needs no failure to learn from.

Random network distillation (Burda et al. 2019), among the best scores in FAIL-Detect (Xu et al. 2025): a network
learns, on successful episodes alone, to predict what a fixed random network makes of a state; it fails on states unlike
them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn

MIN_STD = 1.0e-2
CLIP = 5.0
"""Normalised inputs are clipped, as in the paper."""


class RandomNetworkDistillation(nn.Module):
    """``score(x) = |f(x) - g(x)|^2`` with a fixed random ``g`` and an ``f`` that was trained on successes."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, num_inputs: int, hidden_dim: int = 256, output_dim: int = 64, seed: int = 0) -> None:
        """Draw ``g`` (and where ``f`` begins) from ``seed``."""
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.target = _network(num_inputs, hidden_dim, output_dim, 1, rng)
        self.predictor = _network(num_inputs, hidden_dim, output_dim, 2, rng)
        self.target.requires_grad_(False)
        self.register_buffer("mean", torch.zeros(num_inputs))
        self.register_buffer("std", torch.ones(num_inputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores (batch,) of ``inputs`` (batch, num_inputs)."""
        x = ((inputs - self.mean) / self.std).clamp(-CLIP, CLIP)
        return (self.predictor(x) - self.target(x)).square().mean(dim=1)

    def fit(
        self,
        inputs: torch.Tensor,
        generator: torch.Generator,
        iterations: int = 3000,
        batch: int = 512,
        on_iteration: Callable[[int, float], None] | None = None,
    ) -> None:
        """Distil on ``inputs`` (n, num_inputs) of successful episodes.

        ``on_iteration`` is called after each iteration with its number and the batch's mean error.
        """
        self.mean.copy_(inputs.mean(dim=0))
        self.std.copy_(inputs.std(dim=0).clamp(min=MIN_STD))
        optimiser = torch.optim.Adam(self.predictor.parameters(), lr=1.0e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
        for iteration in range(1, iterations + 1):
            rows = torch.randint(len(inputs), (batch,), generator=generator)
            loss = self(inputs[rows]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            if on_iteration is not None:
                on_iteration(iteration, loss.item())


def _network(num_inputs: int, hidden_dim: int, output_dim: int, layers: int, rng: torch.Generator) -> nn.Sequential:
    """A perceptron with orthogonal weights, as in the paper."""
    sizes = [num_inputs, *[hidden_dim] * (layers + 1), output_dim]
    network = nn.Sequential()
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        network.append(_linear(inputs, outputs, rng))
        if i < len(sizes) - 2:
            network.append(nn.ReLU())
    return network


def _linear(inputs: int, outputs: int, rng: torch.Generator) -> nn.Linear:
    """Built on ``meta``, where it does not draw from the global stream."""
    linear = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    nn.init.orthogonal_(linear.weight, gain=2.0**0.5, generator=rng)
    nn.init.zeros_(linear.bias)
    return linear
