"""A published detector that sees no failure in training; its scores are higher where a policy contradicts itself.

Chunk inconsistency (temporal consistency of Agia et al. 2024, STAC): consecutive chunks overlap, and what a policy
planned for the overlap before and plans for it now should agree.
"""

from __future__ import annotations

import torch


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
