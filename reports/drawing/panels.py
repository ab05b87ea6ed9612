"""Panels below one another that share a logarithmic axis, each with the curves of several arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow_rag_vla.benchmark.scoring.statistics import Interval
from flow_rag_vla.reports.drawing.axes import LogScale, Scale, difference_scale, difference_ticks, share_ticks
from flow_rag_vla.reports.drawing.marks import WIDTH, labels, labels_height, point
from flow_rag_vla.reports.drawing.svg import Drawing

_LEFT, _RIGHT, _NAMES = 70.0, 500.0, 528.0
_LEAST_HEIGHT = 190.0
_TICK_WIDTH = 40.0
"""Of a number below the axis, with the gap beside it."""


@dataclass(frozen=True)
class Point:
    """A value at a place on the logarithmic axis, with its interval where it has one."""

    x: float
    value: float
    ci95: Interval | None


@dataclass(frozen=True)
class Curve:
    """What one arm shows in a panel."""

    name: str
    points: tuple[Point, ...]
    main: bool = False
    reference: bool = False


@dataclass(frozen=True)
class Panel:
    """A quantity: a share from 0 to 1, or a difference of shares."""

    title: str
    is_difference: bool
    curves: tuple[Curve, ...]


def draw_panels(title: str, description: str, panels: Sequence[Panel], unit: str) -> Drawing | None:
    """``panels`` over what ``unit`` counts; those without a point are left out, and without any there is no drawing."""
    shown = [panel for panel in panels if any(curve.points for curve in panel.curves)]
    if not shown:
        return None
    height = max(_LEAST_HEIGHT, 44.0 + labels_height(max(len(panel.curves) for panel in shown)))
    drawing = Drawing(WIDTH, height * len(shown) + 16.0, title, description)
    places = sorted({p.x for panel in shown for curve in panel.curves for p in curve.points})
    x = LogScale.of(places, _LEFT, _RIGHT)
    for i, panel in enumerate(shown):
        _draw(drawing, panel, x, i * height, (i + 1) * height)
        _number_axis(drawing, x, places, (i + 1) * height - 18.0)
    drawing.text((_LEFT + _RIGHT) / 2, drawing.height - 6.0, f"{unit}, logarithmic", size=11.5, anchor="middle")
    return drawing


def _draw(drawing: Drawing, panel: Panel, x: LogScale, top: float, bottom: float) -> None:
    drawing.text(0, top + 14, panel.title, colour="muted", size=11.5, bold=True)
    y = _scale(panel, bottom - 36.0, top + 28.0)
    for value, text in difference_ticks(y) if panel.is_difference else share_ticks():
        line = "ink" if panel.is_difference and value == 0 else "rule"
        drawing.line(_LEFT - 14, y(value), _RIGHT + 10, y(value), line, 0.6)
        drawing.text(_LEFT - 20, y(value) + 4, text, colour="muted", size=11, anchor="end")
    drawn = [curve for curve in panel.curves if curve.points]
    # Leaders first: they must not cover an interval.
    ends = [(curve.name, x(curve.points[-1].x) + 8, y(curve.points[-1].value)) for curve in drawn]
    labels(drawing, ends, _NAMES, next((curve.name for curve in drawn if curve.main), None), bottom - 16)
    for curve in drawn:
        _draw_curve(drawing, curve, x, y)


def _draw_curve(drawing: Drawing, curve: Curve, x: LogScale, y: Scale) -> None:
    colour, width = ("accent", 2.2) if curve.main else ("muted", 1.2)
    drawing.curve([(x(p.x), y(p.value)) for p in curve.points], colour, width, "3 3" if curve.reference else "")
    for p in curve.points:
        if p.ci95 is not None:
            drawing.line(x(p.x), y(p.ci95[0]), x(p.x), y(p.ci95[1]), colour, 1.4 if curve.main else 0.8)
        point(drawing, x(p.x), y(p.value), main=curve.main, hollow=curve.reference)


def _scale(panel: Panel, start: float, end: float) -> Scale:
    if not panel.is_difference:
        return Scale(0.0, 1.0, start, end)
    points = [p for curve in panel.curves for p in curve.points]
    return difference_scale([v for p in points for v in (p.value, *(p.ci95 or ()))], start, end)


def _number_axis(drawing: Drawing, x: LogScale, values: Sequence[float], y: float) -> None:
    """The numbers among ``values``, ascending, that have room beside the one before."""
    free = 0.0
    for value in values:
        if x(value) >= free:
            drawing.text(x(value), y, f"{value:g}", colour="muted", size=11, anchor="middle")
            free = x(value) + _TICK_WIDTH
