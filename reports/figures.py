"""The figures of the report: success with intervals, what became of failures, failures by fault."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.results import RunResults
from flow_rag_vla.benchmark.scoring.summary import ArmSummary, FaultSummary
from flow_rag_vla.reports.drawing.marks import WIDTH, short_name
from flow_rag_vla.reports.drawing.svg import Drawing
from flow_rag_vla.reports.wording import EXPOSURE_ORDER, NO_DATA, ordered_arms, percent

_LEFT, _RIGHT = 190.0, 590.0
"""Where 0 % and 100 % lie."""
_CELL_HEIGHT = 42.0
_MOST_COLUMNS = 7
"""Cells beside one another in which the longest failure type still fits."""


def success_forest(results: RunResults) -> Drawing:
    """Success with 95 % intervals, arms within exposures; dashes mark the reference arm."""
    arms = results.summary.arms
    groups = _met(results, EXPOSURE_ORDER)
    drawing = Drawing(
        WIDTH,
        90.0,
        "Success by exposure and arm",
        "Points with 95 percent Wilson intervals; the table below has the numbers.",
    )
    y = 18.0
    for exposure, names in groups:
        drawing.text(0, y + 4, exposure.upper(), colour="muted", size=11.5, bold=True)
        drawing.line(0, y + 11, WIDTH, y + 11, "rule")
        top, y = y + 14, y + 34
        reference = arms[REFERENCE_ARM].exposure(exposure).success.rate if REFERENCE_ARM in arms else None
        bottom = top + 23.0 * len(names) + 6
        for tick in range(0, 101, 25):
            drawing.line(_x(tick / 100), top, _x(tick / 100), bottom, "rule", 0.6)
        if reference is not None:
            drawing.line(_x(reference), top, _x(reference), bottom, "muted", 1.2, "3 3")
        for arm in names:
            _forest_row(drawing, y, arm, arms[arm], exposure, main=arm == results.summary.verdict.arm)
            y += 23.0
        y += 12.0
    if not groups:
        drawing.text(_x(0.5), 40, NO_DATA, colour="muted", anchor="middle")
        y += 44.0
    _percent_axis(drawing, y - 4)
    return drawing


def _forest_row(drawing: Drawing, y: float, arm: str, summary: ArmSummary, exposure: Exposure, *, main: bool) -> None:
    success = summary.exposure(exposure).success
    drawing.text(_LEFT - 14, y + 4, short_name(arm), anchor="end", bold=main)
    if success.rate is None or success.ci95 is None:
        drawing.text(_x(0.5), y + 4, NO_DATA, colour="muted", anchor="middle", size=11.5)
        return
    colour = "accent" if main else "ink"
    low, high = success.ci95
    drawing.line(_x(low), y, _x(high), y, colour, 2.0 if main else 1.4)
    for end in (low, high):
        drawing.line(_x(end), y - 4, _x(end), y + 4, colour, 1.4)
    if main:
        drawing.diamond(_x(success.rate), y, 6.5, colour)
    else:
        drawing.circle(_x(success.rate), y, 4.2, colour, hollow=arm == REFERENCE_ARM)
    drawing.text(WIDTH - 62, y + 4, percent(success.rate), anchor="end", bold=main)
    drawing.text(WIDTH, y + 4, f"n = {success.n}", colour="muted", size=11, anchor="end")


def repeat_bars(results: RunResults) -> Drawing:
    """Repeated, substituted and resolved shares on NEAR and EXACT; a line marks the reference arm's repeats."""
    arms = results.summary.arms
    groups = _met(results, (Exposure.NEAR, Exposure.EXACT, Exposure.FAR))
    drawing = Drawing(
        WIDTH,
        90.0,
        "What became of the failures of E1",
        "Stacked shares of repeated, substituted and resolved failures; the tables below have the numbers.",
    )
    x = _LEFT
    for name in ("repeated", "substituted", "resolved"):
        drawing.rect(x, 6, 13, 13, name)
        drawing.text(x + 19, 17, name, size=12)
        x += 112.0
    drawing.line(x + 6, 4, x + 6, 21, "ink", 1.8, "4 2.5")
    drawing.text(x + 16, 17, f"repeated by {REFERENCE_ARM}", size=12)
    y = 44.0
    for exposure, names in groups:
        drawing.text(0, y + 4, exposure.upper(), colour="muted", size=11.5, bold=True)
        drawing.line(0, y + 11, WIDTH, y + 11, "rule")
        top, y = y + 14, y + 32
        base = arms[REFERENCE_ARM].exposure(exposure).repeated if REFERENCE_ARM in arms else None
        if base is not None:  # under the bars: it shows in the gaps and covers no number
            drawing.line(_x(base), top, _x(base), top + 30.0 * len(names) + 6, "ink", 1.8)
        for arm in names:
            _repeat_row(drawing, y, arm, arms[arm], exposure, main=arm == results.summary.verdict.arm)
            y += 30.0
        y += 8.0
    if not groups:
        drawing.text(_x(0.5), 62, NO_DATA, colour="muted", anchor="middle")
        y += 36.0
    _percent_axis(drawing, y - 2)
    return drawing


def _repeat_row(drawing: Drawing, y: float, arm: str, summary: ArmSummary, exposure: Exposure, *, main: bool) -> None:
    block = summary.exposure(exposure)
    drawing.text(_LEFT - 14, y + 4, short_name(arm), anchor="end", bold=main)
    drawing.text(WIDTH, y + 4, f"n = {block.f1.n}", colour="muted", size=11, anchor="end")
    if block.repeated is None or block.substituted is None or block.resolved is None:
        drawing.text(_x(0.5), y + 4, NO_DATA, colour="muted", anchor="middle", size=11.5)
        return
    start = 0.0
    for name, value in (
        ("repeated", block.repeated),
        ("substituted", block.substituted),
        ("resolved", block.resolved),
    ):
        left, width = _x(start), _x(start + value) - _x(start)
        if width > 0:
            drawing.rect(left, y - 11, max(width - 1.0, 0.6), 22, name)
        if width > 46:
            drawing.text(
                left + width / 2, y + 4, percent(value), colour=f"on-{name}", anchor="middle", size=11.5, bold=True
            )
        start += value


def fault_heat_map(results: RunResults, exposure: Exposure = Exposure.NEAR) -> Drawing:
    """Share of failures by fault and arm, with the commonest failure type; many arms stand in several bands."""
    table = {fault: cells[exposure] for fault, cells in results.summary.by_fault.items() if exposure in cells}
    arms = ordered_arms({arm for cells in table.values() for arm in cells})
    num_bands = max(1, math.ceil(len(arms) / _MOST_COLUMNS))
    columns = max(1, math.ceil(len(arms) / num_bands))
    label_height = 14.0 + 0.53 * 7.0 * max([len(short_name(arm)) for arm in arms], default=0)
    band_height = label_height + 12 + _CELL_HEIGHT * len(table)
    height = num_bands * band_height + 34
    drawing = Drawing(
        WIDTH,
        max(height, 80.0),
        f"Failures by fault and arm on {exposure.upper()}",
        "Darker cells fail more often; each cell has the share of failures and the commonest type.",
    )
    if not table:
        drawing.text(WIDTH / 2, 44, NO_DATA, colour="muted", anchor="middle")
        return drawing
    cell_width = min(110.0, (WIDTH - _LEFT - 70) / columns)
    for band in range(num_bands):
        top = band * band_height + label_height
        shown = arms[band * columns : (band + 1) * columns]
        for column, arm in enumerate(shown):
            x = _LEFT + (column + 0.5) * cell_width
            drawing.text(x - 8, top, short_name(arm), size=12, turn=-32.0, bold=arm == results.summary.verdict.arm)
        for line, (fault, cells) in enumerate(table.items()):
            y = top + 12 + line * _CELL_HEIGHT
            drawing.text(_LEFT - 14, y + _CELL_HEIGHT / 2 + 4, short_name(fault), anchor="end")
            for column, arm in enumerate(shown):
                _fault_cell(drawing, _LEFT + column * cell_width, y, cell_width, cells.get(arm))
    y = height - 12
    drawing.text(_LEFT, y, "0 % fail", colour="muted", size=11)
    for step in range(11):
        drawing.rect(_LEFT + 56 + 14 * step, y - 10, 14, 12, "surface")
        drawing.rect(_LEFT + 56 + 14 * step, y - 10, 14, 12, "repeated", 0.055 * step)
    drawing.text(_LEFT + 56 + 14 * 11 + 8, y, "100 % fail", colour="muted", size=11)
    return drawing


def _fault_cell(drawing: Drawing, x: float, y: float, width: float, value: FaultSummary | None) -> None:
    middle, rate = x + width / 2, value.failed.rate if value else None
    drawing.rect(x + 1, y + 1, width - 2, _CELL_HEIGHT - 2, "surface")
    if value is None or rate is None:
        drawing.text(middle, y + _CELL_HEIGHT / 2 + 4, "no data", colour="muted", anchor="middle", size=11)
        return
    drawing.rect(x + 1, y + 1, width - 2, _CELL_HEIGHT - 2, "repeated", 0.55 * rate)
    drawing.text(middle, y + 19, percent(rate), anchor="middle", bold=True, size=12.5)
    if types := value.failure_types:
        commonest = max(types, key=types.__getitem__)
        drawing.text(middle, y + 33, commonest.replace("_failure", ""), anchor="middle", size=10)


def _met(results: RunResults, exposures: Sequence[Exposure]) -> list[tuple[Exposure, list[str]]]:
    """The arms that met each exposure; exposures that nobody met are left out."""
    arms = results.summary.arms
    groups = [(x, [arm for arm in ordered_arms(arms) if arms[arm].exposure(x).n]) for x in exposures]
    return [(exposure, names) for exposure, names in groups if names]


def _x(share: float) -> float:
    return _LEFT + share * (_RIGHT - _LEFT)


def _percent_axis(drawing: Drawing, y: float) -> None:
    """Tick labels at ``y``, where the drawing ends."""
    drawing.height = y + 8
    for tick in range(0, 101, 25):
        drawing.text(_x(tick / 100), y, f"{tick} %", colour="muted", size=11, anchor="middle")
