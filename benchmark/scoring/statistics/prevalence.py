"""What an arm is worth where only a share of the scenarios, the prevalence, has a hazard.

``net(prevalence) = prevalence * gain - (1 - prevalence) * harm``; gain and harm come from different scenarios and are
taken as independent (which one memory for both does not grant), so that their intervals combine by variance recovery
(MOVER: Zou and Donner, Statistics in Medicine 27, 2008).  Every prevalence has its own 95 % interval: there is no band
that covers all of them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scipy import optimize

from flow_rag_vla.benchmark.scoring.statistics.proportions import Interval, Proportion

PREVALENCES: tuple[float, ...] = tuple(i / 20 for i in range(21))
"""Where the curve has its points."""

DEPLOYMENT_PREVALENCE = 0.15
"""Of a deployment: the share that the implementation guide's 85 % of its base policy leaves."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    ci95: Interval


@dataclass(frozen=True)
class NetGain:
    """What an arm gains over another where a share ``prevalence`` of the scenarios has a hazard."""

    prevalence: float
    net: float
    ci95: Interval


@dataclass(frozen=True)
class BreakEven:
    """The least prevalence from which an arm pays; None where it does not though every scenario has a hazard.

    Together the last two are the interval of the first, which inverts that of the net gain (Fieller 1954).
    """

    pays_from: float | None
    """The estimated net gain is positive from here on."""
    may_pay_from: float | None
    """The upper end of its interval is positive here for the first time."""
    surely_pays_from: float | None
    """The lower end of its interval is positive from here on."""


def mixture(hazardous: Estimate, other: Estimate, prevalence: float) -> Estimate:
    """``prevalence * hazardous + (1 - prevalence) * other`` of two independent estimates."""
    a, b = prevalence, 1.0 - prevalence
    value = a * hazardous.value + b * other.value
    below = a * (hazardous.value - hazardous.ci95[0]), b * (other.value - other.ci95[0])
    above = a * (hazardous.ci95[1] - hazardous.value), b * (other.ci95[1] - other.value)
    return Estimate(value, (value - _length(below), value + _length(above)))


def net_gain(gain: Estimate, harm: Estimate, prevalence: float) -> Estimate:
    """What the arm gains at ``prevalence`` once its harm is subtracted."""
    return mixture(gain, Estimate(-harm.value, (-harm.ci95[1], -harm.ci95[0])), prevalence)


def net_curve(gain: Estimate, harm: Estimate) -> list[NetGain]:
    """The net gain at each of ``PREVALENCES``."""
    curve = [(prevalence, net_gain(gain, harm, prevalence)) for prevalence in PREVALENCES]
    return [NetGain(prevalence, net.value, net.ci95) for prevalence, net in curve]


def mixed_success(hazardous: Proportion, other: Proportion, prevalence: float) -> Estimate | None:
    """Success where hazards have ``prevalence``; None where either share was not measured."""
    parts = estimate(hazardous.rate, hazardous.ci95), estimate(other.rate, other.ci95)
    return None if parts[0] is None or parts[1] is None else mixture(parts[0], parts[1], prevalence)


def estimate(value: float | None, ci95: Interval | None) -> Estimate | None:
    """Both in one; None where nothing was measured."""
    return None if value is None or ci95 is None else Estimate(value, ci95)


def break_even(gain: Estimate, harm: Estimate) -> BreakEven:
    """From which prevalence on the arm pays."""
    return BreakEven(
        pays_from=_crossing(gain, harm, lambda net: net.value),
        may_pay_from=_crossing(gain, harm, lambda net: net.ci95[1]),
        surely_pays_from=_crossing(gain, harm, lambda net: net.ci95[0]),
    )


def ahead(gain: Estimate, harm: Estimate) -> Interval | None:
    """Between which prevalences the estimated net gain is above 0; None for nowhere."""
    return _positive(gain, harm, lambda net: net.value)


def surely_ahead(gain: Estimate, harm: Estimate) -> Interval | None:
    """Between which prevalences the whole interval of the net gain is above 0; None for nowhere.

    By each prevalence's own interval, so the stretch as a whole does not hold with 95 %.
    """
    return _positive(gain, harm, lambda net: net.ci95[0])


def _positive(gain: Estimate, harm: Estimate, of: Callable[[Estimate], float]) -> Interval | None:
    """Where ``of`` the net gain, which is concave in the prevalence, is positive: on one stretch or nowhere."""

    def side(prevalence: float) -> float:
        return of(net_gain(gain, harm, prevalence))

    inner: Any = optimize.minimize_scalar(lambda prevalence: -side(prevalence), bounds=(0.0, 1.0), method="bounded")
    peak = max(0.0, 1.0, float(inner.x), key=side)
    if side(peak) <= 0.0:
        return None
    low, high = (
        end if side(end) > 0.0 else float(optimize.root_scalar(side, bracket=(end, peak), method="brentq").root)
        for end in (0.0, 1.0)
    )
    return low, high


def _crossing(gain: Estimate, harm: Estimate, of: Callable[[Estimate], float]) -> float | None:
    """Where ``of`` the net gain becomes positive; from below 0 it does so once, as it is convex or concave."""

    def side(prevalence: float) -> float:
        return of(net_gain(gain, harm, prevalence))

    if side(1.0) <= 0.0:
        return None
    return 0.0 if side(0.0) >= 0.0 else float(optimize.root_scalar(side, bracket=(0.0, 1.0), method="brentq").root)


def _length(sides: Interval) -> float:
    return (sides[0] ** 2 + sides[1] ** 2) ** 0.5
