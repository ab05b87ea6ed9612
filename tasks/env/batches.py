"""Cuts what is planned into batches of a fleet's size; short ones are filled up with copies of their first entry.

A fleet always steps all of its environments: with the batch, every bit of the result is the same wherever it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Batch[T]:
    """Entries that run side by side."""

    first: int
    """How many entries came in the batches before."""
    entries: list[T]
    """One to as many as the fleet has environments."""
    rows: list[T]
    """One entry per environment: ``entries``, then copies of the first."""

    @property
    def end(self) -> int:
        """How many entries this batch and those before it hold."""
        return self.first + len(self.entries)


def padded[T](entries: Sequence[T], num_envs: int) -> list[T]:
    """``entries``, then copies of the first, ``num_envs`` in all.

    Raises:
        ValueError: no entry, or more than ``num_envs``.
    """
    if not 1 <= len(entries) <= num_envs:
        raise ValueError(f"expected 1 to {num_envs} entries for as many environments, got {len(entries)}")
    return [*entries, *[entries[0]] * (num_envs - len(entries))]


def batches[T](entries: Sequence[T], num_envs: int) -> Iterator[Batch[T]]:
    """``entries`` in their order, at most ``num_envs`` at a time."""
    for first in range(0, len(entries), num_envs):
        taken = list(entries[first : first + num_envs])
        yield Batch(first, taken, padded(taken, num_envs))
