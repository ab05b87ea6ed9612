"""The mass at which a grip begins to slip, from trials that held and trials that slipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GRAVITY_M_S2 = 9.81
TOLERANCE = 0.15
"""Statics is met where the threshold is this close to it."""

RATIOS: tuple[float, ...] = tuple(round(0.70 + 0.05 * i, 2) for i in range(13))
"""Masses as multiples of what statics says that a grip holds."""


def holdable_kg(friction: float, force_n: float) -> float:
    """What two pads hold that press with ``force_n`` each, ``2 mu F / g``, kg."""
    return 2.0 * friction * force_n / GRAVITY_M_S2


@dataclass(frozen=True)
class Threshold:
    """Where holding ends, as multiples of what statics says; None where no trial says."""

    largest_held: float | None
    """The largest ratio up to which every trial held."""
    smallest_slipped: float | None
    held_above: int
    """Trials that held at larger ratios than ``smallest_slipped``: 0 where holding ends once and for all."""

    @property
    def ratio(self) -> float | None:
        """Midway between the two; None where all held or all slipped."""
        if self.largest_held is None or self.smallest_slipped is None:
            return None
        return (self.largest_held + self.smallest_slipped) / 2

    @property
    def meets_statics(self) -> bool:
        """Known, and within ``TOLERANCE`` of 1."""
        return self.ratio is not None and abs(self.ratio - 1.0) <= TOLERANCE


def find_threshold(ratios: Sequence[float], held: Sequence[bool]) -> Threshold:
    """The threshold of trials at ``ratios``, in any order.

    Raises:
        ValueError: not one outcome for each ratio, or a ratio twice.
    """
    if len(ratios) != len(held) or len(set(ratios)) != len(ratios):
        raise ValueError(f"expected one outcome for each of different ratios, got {len(held)} for {list(ratios)}")
    slipped = [ratio for ratio, holds in zip(ratios, held, strict=True) if not holds]
    first = min(slipped, default=None)
    kept = [ratio for ratio, holds in zip(ratios, held, strict=True) if holds]
    below = [ratio for ratio in kept if first is None or ratio < first]
    return Threshold(max(below, default=None), first, len(kept) - len(below))
