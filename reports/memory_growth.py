"""A page on runs of several sizes: what every memory arm gains and breaks as its memory grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.policies.growth.memory_growth import ArmAtSize, Change, MemoryGrowth, Quantity, measured
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM
from flow_rag_vla.benchmark.scoring.results import RunResults, notices, write_report_file
from flow_rag_vla.benchmark.scoring.statistics import Interval, Proportion
from flow_rag_vla.benchmark.scoring.statistics.trend import Trend
from flow_rag_vla.benchmark.scoring.statistics.verdict import MARGIN, Limit, limit_known
from flow_rag_vla.reports import first_screen, wording
from flow_rag_vla.reports.build import Alternative, environment, look
from flow_rag_vla.reports.drawing.panels import Curve, Panel, Point, draw_panels
from flow_rag_vla.reports.drawing.svg import Drawing
from flow_rag_vla.reports.table import Cell, Row, Table, pointer
from flow_rag_vla.reports.wording import DASH, NO_DATA, interval, percent, points

PAGE, MARKDOWN = "index.html", "report.md"

_ASKED = (Quantity.GAIN, Quantity.HARM)
"""What the answer is about."""
_KNOWN: dict[Trend, str] = {
    Trend.RISES: "rises",
    Trend.FALLS: "falls",
    Trend.UNKNOWN: "not known",
}
_ALLOWED: dict[Limit, str] = {
    Limit.KEPT: "within",
    Limit.EXCEEDED: "beyond",
    Limit.UNKNOWN: "not known to be within",
}
_PANELS: dict[Quantity, tuple[str, bool]] = {
    Quantity.NEAR: ("SUCCESS ON NEAR", False),
    Quantity.GAIN: ("GAIN ON NEAR, PERCENTAGE POINTS", True),
    Quantity.REPEATED: ("REPEATED FAILURES ON NEAR", False),
    Quantity.HARM: ("HARM ON CLEAN AND CONTROL, PERCENTAGE POINTS", True),
}
"""Title, and whether it is a difference."""
_SETTINGS = {
    "Observation": "obs",
    "Detector": "detector",
    "Decision latency": "latency",
    "Policy": "checkpoint",
    "Sites": "sites",
    "Seed": "seed",
    "Layouts": "split",
    "Rounds of E2": "rounds",
}


@dataclass(frozen=True)
class _Effect:
    """How the gain or the harm of the verdict's arm changes."""

    name: str
    known: str
    value: Cell
    over: str


def build_growth_page(growth: MemoryGrowth, runs: Sequence[RunResults], folder: Path, command: str) -> Path:
    """Write page, Markdown twin and figures of ``growth``, which ``runs`` gave; returns the path of the HTML page.

    The same results give the same bytes.
    """
    drawings = {name: drawing for name, drawing in _figures(growth).items() if drawing is not None}
    for name, drawing in drawings.items():
        write_report_file(folder / "figures" / f"{name}.svg", drawing.file_bytes())
    sized = list(zip(growth.scenarios, runs, strict=True))
    content = {
        "title": f"Flow-RAG-VLA: memory size, {growth.task}",
        "arm": growth.arm,
        "reference": REFERENCE_ARM,
        "headline": _headline(growth),
        "answer": _answer(growth),
        "effects": _effects(growth),
        "banners": [f"{n} scenarios: {banner}" for n, run in sized for banner in first_screen.banners(run)],
        "warnings": [*growth.differences, *dict.fromkeys(text for run in runs for text in notices(run.manifest))],
        "facts": _facts(growth, runs[-1]),
        "tables": {"sizes": sizes(growth), "changes": _changes(growth), "runs": _runs(growth, runs)},
        "commands": [command, *(str(run.manifest.get("command", "not recorded")) for run in runs)],
        "exposures": {Exposure.NEAR: wording.EXPOSURES[Exposure.NEAR]},
        "terms": {name: wording.TERMS[name] for name in ("repeated", "substituted", "gain", "harm")},
    }
    html, markdown = environment(html=True), environment(html=False)
    inline = {name: Markup(drawing.inline(name)) for name, drawing in drawings.items()}
    files = {name: Alternative(f"figures/{name}.svg", drawing) for name, drawing in drawings.items()}
    content["sentence"] = sentence(growth)
    twin = markdown.get_template("memory_growth_markdown.j2").render(**content, figures=files)
    write_report_file(folder / MARKDOWN, twin.encode())
    page = html.get_template("memory_growth.html.j2").render(**content, figures=inline, **look())
    write_report_file(folder / PAGE, page.encode())
    return folder / PAGE


def sentence(growth: MemoryGrowth) -> str:
    """Whether the gain of the verdict's arm falls and its harm rises as its memory grows, by intervals."""
    clauses = []
    for quantity in _ASKED:
        change = growth.changes[growth.arm].get(quantity)
        text = _clause(quantity, change)
        if change is not None:
            span = _slope(change, growth.arm, quantity).plain
            over = f"per doubling from {change.smallest} to {change.largest} scenarios"
            text += f" ({span} {over}; {_at_end(growth, quantity)})"
        clauses.append(text)
    return f"As the memory of {growth.arm} grows, {'; '.join(clauses)}."


def _at_end(growth: MemoryGrowth, quantity: Quantity) -> str:
    """The quantity itself at the largest size: a change that is not known does not hide it."""
    known = [(at, value) for at in growth.arms[growth.arm] if (value := measured(at, quantity)) is not None]
    at, last = known[-1]
    text = f"at {at.scenarios} it is {points(last.value)} {interval(last.ci95, signed=True)}"
    if quantity is Quantity.HARM:
        limit = limit_known(last.ci95, at.harm_mcnemar_p, growth.max_harm)
        text += f", {_ALLOWED[limit]} the {100 * growth.max_harm:g} points allowed"
    return text


def _headline(growth: MemoryGrowth) -> str:
    text = "; ".join(_clause(quantity, growth.changes[growth.arm].get(quantity)) for quantity in _ASKED)
    return text[0].upper() + text[1:]


def _clause(quantity: Quantity, change: Change | None) -> str:
    if change is None:
        return f"{quantity} was measured at fewer than two sizes"
    if change.trend is Trend.UNKNOWN:
        return f"the interval does not tell whether {quantity} {'rises' if quantity is Quantity.HARM else 'falls'}"
    return f"{quantity} {_known(change)}"


def _known(change: Change) -> str:
    return f"changes by at most {100 * change.margin:g} points" if change.trend is Trend.LEVEL else _KNOWN[change.trend]


def _answer(growth: MemoryGrowth) -> str:
    """Which verdict's colour marks the answer: a memory that stays as it was helps only where it helped."""
    trends = {quantity: change.trend for quantity, change in growth.changes[growth.arm].items()}
    gain, harm = (trends.get(quantity, Trend.UNKNOWN) for quantity in _ASKED)
    if gain is Trend.FALLS or harm is Trend.RISES:
        return "harms"
    return "helps" if Trend.UNKNOWN not in (gain, harm) and _helps_at_largest(growth) else "undetermined"


def _helps_at_largest(growth: MemoryGrowth) -> bool:
    last = growth.arms[growth.arm][-1]
    if last.gain is None or last.harm is None:
        return False
    limit = limit_known(last.harm.ci95, last.harm_mcnemar_p, growth.max_harm)
    return last.gain.ci95[0] > 0.0 and limit is Limit.KEPT


def _effects(growth: MemoryGrowth) -> list[_Effect]:
    found = growth.changes[growth.arm]
    return [
        _Effect(
            quantity.value.capitalize(),
            _known(change),
            _slope(change, growth.arm, quantity),
            f"Per doubling, from {change.smallest} to {change.largest} scenarios; {_at_end(growth, quantity)}",
        )
        for quantity in _ASKED
        if (change := found.get(quantity)) is not None
    ]


def _facts(growth: MemoryGrowth, run: RunResults) -> list[tuple[str, str]]:
    settings = run.manifest.get("settings")
    known = settings if isinstance(settings, dict) else {}
    shared = [(name, str(known.get(key, "not recorded"))) for name, key in _SETTINGS.items()]
    counts = ", ".join(str(n) for n in growth.scenarios)
    arms = ", ".join(wording.ordered_arms(growth.arms))
    return [("Task", growth.task), ("Engine", growth.physics), ("Arms", arms), *shared, ("Scenarios", counts)]


def _figures(growth: MemoryGrowth) -> dict[str, Drawing | None]:
    """The same panels over scenarios and over the cases in the memory that was asked."""
    described = "One panel a quantity; points with 95 percent intervals; the table below has the numbers."
    by_scenarios = _panels(growth, by_cases=False)
    by_cases = _panels(growth, by_cases=True)
    return {
        "scenarios": draw_panels("Gain and harm by number of scenarios", described, by_scenarios, "scenarios in E1"),
        "cases": draw_panels("Gain and harm by memory size", described, by_cases, "cases in the memory"),
    }


def _panels(growth: MemoryGrowth, *, by_cases: bool) -> list[Panel]:
    def curve(name: str, found: list[tuple[ArmAtSize, float | None, Interval | None]]) -> Curve:
        xs = [at.cases_asked if by_cases else at.scenarios for at, *_ in found]
        drawn = [
            Point(x, value, ci95) for x, (_, value, ci95) in zip(xs, found, strict=True) if x and value is not None
        ]
        return Curve(name, tuple(drawn), main=name == growth.arm, reference=name == REFERENCE_ARM)

    names = wording.ordered_arms(growth.arms)
    panels = []
    for quantity, (title, is_difference) in _PANELS.items():
        known = {name: [(at, measured(at, quantity)) for at in growth.arms[name]] for name in names}
        curves = [curve(name, [(at, e and e.value, e and e.ci95) for at, e in found]) for name, found in known.items()]
        panels.append(Panel(title, is_difference, tuple(curves)))
    apart = [curve(name, [(at, at.clean_difference, None) for at in growth.arms[name]]) for name in names]
    return [*panels, Panel(f"SUCCESS ON CLEAN MINUS {REFERENCE_ARM.upper()}'S, PERCENTAGE POINTS", True, tuple(apart))]


def sizes(growth: MemoryGrowth) -> Table:
    """Every arm at every size, each number as the run's own summary has it."""
    rows = [
        Row(str(scenarios), _at_size(name, i, growth.arms[name][i]), marked=name == growth.arm)
        for i, scenarios in enumerate(growth.scenarios)
        for name in wording.ordered_arms(growth.arms)
    ]
    return Table(
        "sizes",
        "Every memory arm by the number of scenarios in E1, with 95 % intervals. Cases: failures in the memory that "
        "was asked in the round of these numbers, and after it. Gain and harm are over pairs; repeated and substituted "
        "are shares of E1's avoidable failures. A dash: not played. CLEAN minus "
        f"{REFERENCE_ARM}'s has no interval of its own: harm's is of CLEAN and CONTROL together.",
        "Scenarios",
        (
            *("arm", "asked", "after", "success", "gain", "repeated", "substituted"),
            *("harm", "success", f"minus {REFERENCE_ARM}", "success"),
        ),
        tuple(rows),
        (("", 1), ("Cases", 2), ("NEAR", 4), ("CLEAN, CONTROL", 1), ("CLEAN", 2), ("CONTROL", 1)),
    )


def _at_size(name: str, index: int, at: ArmAtSize) -> tuple[Cell, ...]:
    base = (str(at.scenarios), "summary", "arms", name)
    near, gap = (*base, Exposure.NEAR), NO_DATA if at.near.n else DASH
    again, place = at.repeated, pointer(*base, "harm")
    gain = harm = apart = Cell("reference")
    if name != REFERENCE_ARM:
        against, ci95 = (*base, "vs_flow_only"), at.gain and at.gain.ci95
        gain = Cell(points(at.gain and at.gain.value, gap), pointer(*against, "success_diff"),
                    interval(ci95, signed=True), pointer(*against, "ci95"))  # fmt: skip
        note = f"{interval(at.harm.ci95, signed=True)} · {at.harm_pairs} pairs" if at.harm else ""
        harm = Cell(points(at.harm and at.harm.value, DASH), place, note, place)
        apart = Cell(points(at.clean_difference, DASH), pointer("growth", "arms", name, str(index), "clean_difference"))
    return (
        Cell(name),
        Cell(_number(at.cases_asked), pointer(*base, "memory_sizes")),
        Cell(_number(at.cases_after), pointer(*base, "memory_entries")),
        _share(at.near, pointer(*near, "success")),
        gain,
        Cell(percent(again and again.value, gap), pointer(*near, "repeated"), interval(again and again.ci95),
             pointer(*near, "f1", "repeated_ci95")),
        Cell(percent(at.substituted, gap), pointer(*near, "substituted")),
        harm,
        _share(at.clean, pointer(*base, Exposure.CLEAN, "success")),
        apart,
        _share(at.control, pointer(*base, Exposure.CONTROL, "success")),
    )  # fmt: skip


def _share(value: Proportion, source: str) -> Cell:
    note = f"{interval(value.ci95)} · {wording.count(value)}" if value.n else ""
    return Cell(percent(value.rate, DASH), source, note, source)


def _number(value: int | None) -> str:
    return DASH if value is None else str(value)


def _changes(growth: MemoryGrowth) -> Table:
    rows = []
    for name in wording.ordered_arms(growth.changes):
        for quantity, change in growth.changes[name].items():
            ends = [
                Cell(str(getattr(change, end)), pointer("growth", "changes", name, quantity, end))
                for end in ("smallest", "largest")
            ]
            label = "NEAR success" if quantity is Quantity.NEAR else quantity.value
            slope, apart = _slope(change, name, quantity), _difference(change, name, quantity)
            cells = (Cell(label), *ends, slope, Cell(_known(change)), apart)
            rows.append(Row(name, cells, marked=name == growth.arm))
    return Table(
        "changes",
        "Slope of the line through all sizes at which a quantity was measured, over the logarithm of the scenarios and "
        "weighted by episodes, and the largest size minus the smallest; 95 % intervals by variance recovery, as if the "
        "runs had no scenario in common. Those that they share make the interval of a difference of two runs too wide, "
        "and that of the slope over nested runs too narrow (measured: its true standard deviation is up to 1.2 times "
        "the assumed one). It rises or falls where the slope's interval excludes 0, and changes by at most "
        f"{100 * MARGIN:g} points (harm: by at most what agent.max_harm allows) where both intervals, over all "
        "doublings, lie within; else it is not known.",
        "Arm",
        ("quantity", "from", "to", "per doubling", "known", "largest minus smallest"),
        tuple(rows),
    )


def _slope(change: Change, arm: str, quantity: Quantity) -> Cell:
    value, place = change.per_doubling, ("growth", "changes", arm, quantity, "per_doubling")
    ends = interval(value.ci95, signed=True, digits=2)
    return Cell(points(value.value, digits=2), pointer(*place, "value"), ends, pointer(*place, "ci95"))


def _difference(change: Change, arm: str, quantity: Quantity) -> Cell:
    value, place = change.difference, ("growth", "changes", arm, quantity, "difference")
    ends = interval(value.ci95, signed=True)
    return Cell(points(value.value), pointer(*place, "value"), ends, pointer(*place, "ci95"))


def _runs(growth: MemoryGrowth, runs: Sequence[RunResults]) -> Table:
    rows = []
    for i, (scenarios, run) in enumerate(zip(growth.scenarios, runs, strict=True)):
        e1, place = run.summary.e1, (str(scenarios), "summary", "e1")
        cells = (
            Cell(growth.runs[i], pointer("growth", "runs", str(i))),
            Cell(growth.commits[i], pointer("growth", "commits", str(i))),
            Cell(str(e1.failed), pointer(*place, "failed")),
            Cell(", ".join(x.upper() for x in wording.exposures_met(run)) or DASH),
        )
        rows.append(Row(str(scenarios), cells))
    return Table(
        "runs",
        "Where the numbers come from: summary.json of each run.",
        "Scenarios",
        ("run", "commit", "failed in E1", "exposure"),
        tuple(rows),
    )
