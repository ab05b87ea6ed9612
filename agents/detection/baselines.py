"""Published detectors that see no failure in training; scores are higher where something is unusual.

Random network distillation (Burda et al. 2019), among the best scores in FAIL-Detect (Xu et al. 2025): a network
learns, on successful episodes alone, to predict what a fixed random network makes of a state; it fails on states unlike
them.  Chunk inconsistency (temporal consistency of Agia et al. 2024, STAC): consecutive chunks overlap, and what a
policy planned for the overlap before and plans for it now should agree.
"""

from __future__ import annotations

import itertools

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

    def fit(self, inputs: torch.Tensor, generator: torch.Generator, iterations: int = 3000, batch: int = 512) -> None:
        """Distil on ``inputs`` (n, num_inputs) of successful episodes."""
        self.mean.copy_(inputs.mean(dim=0))
        self.std.copy_(inputs.std(dim=0).clamp(min=MIN_STD))
        optimiser = torch.optim.Adam(self.predictor.parameters(), lr=1.0e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
        for _ in range(iterations):
            rows = torch.randint(len(inputs), (batch,), generator=generator)
            loss = self(inputs[rows]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()


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


class ChunkConsistency:
    """Compares consecutive decisions where their chunks overlap.

    The single distance is the mean squared difference of the two chunks that acted.  The energy distance (Szekely and
    Rizzo 2013; the maximum mean discrepancy of the kernel ``-|x - y|``) compares ``num_samples`` chunks of each
    decision, so that a policy which is undecided between two ways is not inconsistent for it.
    """

    def __init__(self, execute: int) -> None:
        """Decisions follow each other after ``execute`` actions."""
        self._execute = execute
        self._previous: torch.Tensor | None = None

    def reset(self) -> None:
        """A new episode: nothing was planned before."""
        self._previous = None

    def update(self, chunks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Single and energy distance (num_envs,) to the decision before; zero where nothing overlaps.

        Args:
            chunks: (num_samples, num_envs, horizon, action_dim), normalised; the first is the one that acts.
        """
        previous, self._previous = self._previous, chunks
        overlap = chunks.shape[2] - self._execute
        if previous is None or overlap < 1:
            zero = chunks.new_zeros(chunks.shape[1])
            return zero, zero.clone()
        old, new = previous[:, :, self._execute :], chunks[:, :, :overlap]
        single = (old[0] - new[0]).square().mean(dim=(1, 2))
        return single, energy_distance(old.flatten(2).transpose(0, 1), new.flatten(2).transpose(0, 1))


def energy_distance(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``2 E|x - y| - E|x - x'| - E|y - y'|`` (batch,) between samples (batch, n, d) and (batch, m, d); at least 0."""
    return 2.0 * torch.cdist(x, y).mean((1, 2)) - torch.cdist(x, x).mean((1, 2)) - torch.cdist(y, y).mean((1, 2))
