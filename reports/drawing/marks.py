"""Points of arms, and their names in a column where none covers another."""

from __future__ import annotations

from collections.abc import Sequence

from flow_rag_vla.reports.drawing.svg import Drawing

WIDTH = 720.0
"""Of every figure, in drawing units."""

_LABEL_STEP = 15.0
"""Least distance of labels beside one another."""


def short_name(name: str) -> str:
    """A name that fits beside a row; tables have it whole."""
    return name if len(name) <= 22 else name[:21] + "\N{HORIZONTAL ELLIPSIS}"


def point(drawing: Drawing, x: float, y: float, *, main: bool, hollow: bool = False) -> None:
    """The point of an arm: a diamond for the ``main`` one, hollow for the reference."""
    if main:
        drawing.diamond(x, y, 6.0, "accent")
    else:
        drawing.circle(x, y, 3.6, "muted", hollow=hollow)


def label_places(wanted: Sequence[float], bottom: float) -> list[float]:
    """Heights near those ``wanted``, ascending, a label apart, and none below ``bottom``."""
    places: list[float] = []
    for y in wanted:
        places.append(max(y, places[-1] + _LABEL_STEP) if places else y)
    for i in reversed(range(len(places))):
        places[i] = min(places[i], bottom)
        bottom = places[i] - _LABEL_STEP
    return places


def labels_height(number: int) -> float:
    """Room that ``number`` labels take."""
    return _LABEL_STEP * number


def labels(
    drawing: Drawing, places: Sequence[tuple[str, float, float]], x: float, main: str | None, bottom: float
) -> None:
    """Names in one column at ``x`` above ``bottom``, each led to from its place (x, y), none over another."""
    ordered = sorted(places, key=lambda place: place[2])
    heights = label_places([py for _, _, py in ordered], bottom)
    for (name, px, py), y in zip(ordered, heights, strict=True):
        drawing.line(px, py, x - 4, y, "rule", 0.8)
        drawing.text(x, y + 4, short_name(name), bold=name == main, size=12)
