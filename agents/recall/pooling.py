"""What can be looked up, and sums over what was retrieved."""

from __future__ import annotations

import torch

_BLOCK = 1024
"""Queries at once: with 32 neighbours of 100 numbers each, 26 MB."""


def searchable(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``keys`` (n, embedding_dim), any other in the place of those that are not finite, and which are (n,) bool.

    An environment whose physics broke gets no answer, and takes none from the others.
    """
    sound = keys.isfinite().all(dim=1)
    anything = keys.new_zeros(keys.shape[1])
    anything[:1] = 1.0  # a slice is filled on the device; one entry would be copied to it
    return torch.where(sound[:, None], keys, anything), sound


def weighted_sum(weight: torch.Tensor, values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """``sum_k weight[:, k] * values[place[:, k]]``, (n, ...) float32.

    Summed in float64 and rounded once: the order of a kernel's sum, which differs by device and batch, changes bits
    that rounding to float32 all but always hides.

    Args:
        weight: (n, k) float32.
        values: (m, ...) what is known of each of ``m`` cases.
        place: (n, k) int64 rows of ``values``.
    """
    columns = values.flatten(1)
    blocks = zip(weight.split(_BLOCK), place.split(_BLOCK), strict=True)
    sums = [torch.bmm(w.double().unsqueeze(1), columns[rows].double()).squeeze(1) for w, rows in blocks]
    return torch.cat(sums).float().reshape(len(weight), *values.shape[1:])
