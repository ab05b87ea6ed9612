"""Where values lie in a drawing, and which of them an axis names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flow_rag_vla.benchmark.scoring.statistics.verdict import MARGIN


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` at drawing units from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where ``value`` lies, in drawing units."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class LogScale:
    """Positive values: equal ratios lie equally far apart."""

    _exponents: Scale

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> LogScale:
        """From the least of ``values`` to the greatest; a value alone lies in the middle."""
        low, high = math.log(min(values)), math.log(max(values))
        room = 0.0 if low < high else 0.5
        return cls(Scale(low - room, high + room, start, end))

    def __call__(self, value: float) -> float:
        """Where ``value`` lies, in drawing units."""
        return self._exponents(math.log(value))


def difference_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """A scale for differences that holds 0, the margin and all ``values``."""
    low, high = min(-MARGIN, *values), max(MARGIN, *values)
    room = 0.05 * (high - low)
    return Scale(low - room, high + room, start, end)


def difference_ticks(scale: Scale) -> list[tuple[float, str]]:
    """Round differences within ``scale``, in percentage points."""
    span = 100.0 * (scale.high - scale.low)
    step = next(s for s in (2, 5, 10, 20, 50, 100) if span / s <= 6 or s == 100)
    first, last = int(100 * scale.low // step), int(100 * scale.high // step)
    values = [i * step for i in range(first, last + 1) if scale.low <= i * step / 100.0 <= scale.high]
    return [(value / 100.0, f"{value:+d}".replace("-", "\N{MINUS SIGN}") if value else "0") for value in values]


def share_ticks() -> list[tuple[float, str]]:
    """Quarters of a share, in percent."""
    return [(quarter / 4.0, f"{25 * quarter} %") for quarter in range(5)]
