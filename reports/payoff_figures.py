"""The figures of what arms are worth: gain against harm, net gain by prevalence, success and memory by round."""

from __future__ import annotations

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.scoring.arms import REFERENCE_ARM, still_arms
from flow_rag_vla.benchmark.scoring.results import RunResults
from flow_rag_vla.benchmark.scoring.statistics.verdict import MARGIN
from flow_rag_vla.benchmark.scoring.summary import ArmSummary, Payoff
from flow_rag_vla.reports.drawing.axes import Scale, difference_scale, difference_ticks, share_ticks
from flow_rag_vla.reports.drawing.marks import WIDTH, labels, labels_height, point, short_name
from flow_rag_vla.reports.drawing.svg import Drawing
from flow_rag_vla.reports.wording import NO_DATA, ordered_arms, prevalence


def gain_against_harm(results: RunResults) -> Drawing:
    """Gain over harm of every arm that acts, with both intervals; good is up and left."""
    arms = results.summary.arms
    drawing = Drawing(
        WIDTH,
        430.0,
        "Gain against harm by arm",
        "Points with 95 percent intervals, gain upwards and harm to the right; the table below has the numbers.",
    )
    found = [
        (name, against.success_diff, against.ci95, arms[name].harm.rate, arms[name].harm.ci95)
        for name in _drawn(results)
        if (against := arms[name].vs_flow_only) is not None
    ]
    rows = [(n, g, gi, h, hi) for n, g, gi, h, hi in found if None not in (g, gi, h, hi)]
    if not rows:
        drawing.height = 80.0
        drawing.text(WIDTH / 2, 44, NO_DATA, colour="muted", anchor="middle")
        return drawing
    gains = [end for _, _, span, _, _ in rows for end in span or ()]
    harms = [end for _, _, _, _, span in rows for end in span or ()]
    x = difference_scale(harms, 76.0, 500.0)
    y = difference_scale(gains, 366.0, 16.0)
    drawing.rect(x.start, y(MARGIN), x.end - x.start, y(-MARGIN) - y(MARGIN), "surface")
    for value, text in difference_ticks(x):
        drawing.line(x(value), y.end, x(value), y.start, "ink" if value == 0 else "rule", 0.8)
        drawing.text(x(value), y.start + 18, text, colour="muted", size=11, anchor="middle")
    for value, text in difference_ticks(y):
        drawing.line(x.start, y(value), x.end, y(value), "ink" if value == 0 else "rule", 0.8)
        drawing.text(x.start - 8, y(value) + 4, text, colour="muted", size=11, anchor="end")
    drawing.text((x.start + x.end) / 2, y.start + 42, "harm, percentage points", anchor="middle")
    drawing.text(20, (y.start + y.end) / 2, "gain, percentage points", anchor="middle", turn=-90.0)
    # Leaders first: they must not cover an interval.
    leaders = [(name, x(harm) + 7, y(gain)) for name, gain, _, harm, _ in rows if gain is not None and harm is not None]
    labels(drawing, leaders, 520.0, results.summary.verdict.arm, drawing.height - 8)
    for name, gain, gain_span, harm, harm_span in rows:
        if gain is None or harm is None or gain_span is None or harm_span is None:
            continue
        main = name == results.summary.verdict.arm
        colour, width = ("accent", 2.2) if main else ("muted", 1.2)
        drawing.line(x(harm_span[0]), y(gain), x(harm_span[1]), y(gain), colour, width)
        drawing.line(x(harm), y(gain_span[0]), x(harm), y(gain_span[1]), colour, width)
        point(drawing, x(harm), y(gain), main=main, hollow=name == REFERENCE_ARM)
    return drawing


def _drawn(results: RunResults) -> list[str]:
    """All arms but those that hold still: what they break would stretch the axes, the tables have them."""
    return [name for name in ordered_arms(results.summary.arms) if name not in still_arms()]


def net_gain_by_prevalence(results: RunResults) -> Drawing:
    """Net gain of every arm that acts at any share of scenarios with a hazard, and where it breaks even."""
    arms = results.summary.arms
    rows = [(name, payoff) for name in _drawn(results) if (payoff := arms[name].payoff) is not None]
    drawing = Drawing(
        WIDTH,
        80.0,
        "Net gain by prevalence of hazards",
        "One panel an arm: net gain with its 95 percent interval; the table below has the break-even points.",
    )
    if not rows:
        drawing.text(WIDTH / 2, 44, NO_DATA, colour="muted", anchor="middle")
        return drawing
    columns, width, height = 3, 240.0, 176.0
    ends = [end for _, payoff in rows for point in payoff.curve for end in point.ci95]
    for i, (name, payoff) in enumerate(rows):
        left, top = (i % columns) * width, (i // columns) * height
        x = Scale(0.0, 1.0, left + 42.0, left + width - 20.0)
        _prevalence_panel(
            drawing, x, difference_scale(ends, top + 126.0, top + 26.0), name, payoff, results.summary.verdict.arm
        )
    drawing.height = height * ((len(rows) + columns - 1) // columns)
    return drawing


def _prevalence_panel(drawing: Drawing, x: Scale, y: Scale, name: str, payoff: Payoff, verdict: str | None) -> None:
    main = name == verdict
    drawing.text(x.start, y.end - 10, short_name(name), bold=main)
    for value, text in difference_ticks(y):
        drawing.line(x.start, y(value), x.end, y(value), "ink" if value == 0 else "rule", 0.8)
        drawing.text(x.start - 6, y(value) + 4, text, colour="muted", size=10, anchor="end")
    for share in (0.0, 0.5, 1.0):
        drawing.text(
            x(share), y.start + 15, f"{share:.0%}".replace("%", " %"), colour="muted", size=10, anchor="middle"
        )
    colour = "accent" if main else "muted"
    upper = [(x(point.prevalence), y(point.ci95[1])) for point in payoff.curve]
    lower = [(x(point.prevalence), y(point.ci95[0])) for point in payoff.curve]
    drawing.area([*upper, *reversed(lower)], colour, 0.22)
    drawing.curve([(x(point.prevalence), y(point.net)) for point in payoff.curve], colour, 2.2 if main else 1.6)
    even = payoff.break_even
    if even.may_pay_from is not None:
        surely = 1.0 if even.surely_pays_from is None else even.surely_pays_from
        drawing.line(x(even.may_pay_from), y(0.0), x(surely), y(0.0), "ink", 2.6)
    if even.pays_from is not None:
        drawing.diamond(x(even.pays_from), y(0.0), 5.0, "ink")
    drawing.text(x.start, y.start + 32, f"pays from {prevalence(even.pays_from)}", size=11)


def success_by_round(results: RunResults) -> Drawing | None:
    """Success of every arm in every round, one panel an exposure; None where there is only one round."""
    arms = results.summary.arms
    rounds = sorted({r.round for arm in arms.values() for r in arm.rounds})
    if len(rounds) < 2:
        return None
    shown = (Exposure.NEAR, Exposure.FAR, Exposure.CLEAN, Exposure.CONTROL)
    panels = [exposure for exposure in shown if any(arm.exposure(exposure).n for arm in arms.values())]
    height = max(214.0, 44.0 + labels_height(len(arms)))
    drawing = Drawing(
        WIDTH,
        height * len(panels),
        "Success by round",
        "One panel an exposure; points with 95 percent Wilson intervals; the table below has the numbers.",
    )
    x = Scale(rounds[0], rounds[-1], 70.0, 500.0)
    for i, exposure in enumerate(panels):
        top = i * height
        y = Scale(0.0, 1.0, top + height - 36.0, top + 28.0)
        drawing.text(0, top + 14, exposure.upper(), colour="muted", size=11.5, bold=True)
        for share, text in share_ticks():
            drawing.line(x.start - 14, y(share), x.end + 10, y(share), "rule", 0.6)
            drawing.text(x.start - 20, y(share) + 4, text, colour="muted", size=11, anchor="end")
        for number in rounds:
            drawing.text(x(number), y.start + 18, f"round {number}", colour="muted", size=11, anchor="middle")
        ends = []
        for name in ordered_arms(arms):
            end = _round_curve(drawing, x, y, name, arms[name], exposure, main=name == results.summary.verdict.arm)
            ends += [] if end is None else [(name, *end)]
        labels(drawing, ends, 528.0, results.summary.verdict.arm, top + height - 16)
    return drawing


def _round_curve(
    drawing: Drawing, x: Scale, y: Scale, name: str, arm: ArmSummary, exposure: Exposure, *, main: bool
) -> tuple[float, float] | None:
    colour, width = ("accent", 2.2) if main else ("muted", 1.2)
    found = [(r.round, r.success) for r in arm.rounds if r.exposure == exposure and r.success.rate is not None]
    curve = [(x(number), y(success.rate)) for number, success in found if success.rate is not None]
    if not curve:
        return None
    drawing.curve(curve, colour, width, "3 3" if name == REFERENCE_ARM else "")
    for (px, py), (_, success) in zip(curve, found, strict=True):
        if success.ci95 is not None:
            drawing.line(px, y(success.ci95[0]), px, y(success.ci95[1]), colour, 0.8 if not main else 1.4)
        point(drawing, px, py, main=main, hollow=name == REFERENCE_ARM)
    return curve[-1][0] + 8, curve[-1][1]


def memory_by_round(results: RunResults) -> Drawing | None:
    """Cases that each arm's memory holds after E1 and after each round; None where nobody counted any."""
    arms = results.summary.arms
    sizes = {name: arms[name].memory_sizes for name in ordered_arms(arms) if arms[name].memory_sizes}
    if not sizes:
        return None
    rounds = sorted({size.round for values in sizes.values() for size in values})
    most = max(size.entries for values in sizes.values() for size in values)
    drawing = Drawing(WIDTH, 216.0, "Memory by round", "Cases stored after E1 and after each round, by arm.")
    x = Scale(rounds[0], max(rounds[-1], rounds[0] + 1), 70.0, 500.0)
    y = Scale(0.0, max(most, 1), 178.0, 24.0)
    for part in (0.0, 0.5, 1.0):
        value = round(part * most)
        drawing.line(x.start - 14, y(value), x.end + 10, y(value), "rule", 0.6)
        drawing.text(x.start - 20, y(value) + 4, str(value), colour="muted", size=11, anchor="end")
    for number in rounds:
        label = f"round {number}" if number else "E1"
        drawing.text(x(number), y.start + 18, label, colour="muted", size=11, anchor="middle")
    ends = []
    for name, values in sizes.items():
        main = name == results.summary.verdict.arm
        curve = [(x(size.round), y(size.entries)) for size in values]
        drawing.curve(curve, "accent" if main else "muted", 2.2 if main else 1.2)
        for px, py in curve:
            point(drawing, px, py, main=main, hollow=name == REFERENCE_ARM)
        ends.append((f"{short_name(name)}: {values[-1].entries}", curve[-1][0] + 8, curve[-1][1]))
    main_arm = results.summary.verdict.arm
    bold = next((text for text, *_ in ends if text.split(":")[0] == main_arm), None)
    labels(drawing, ends, 528.0, bold, drawing.height - 8)
    return drawing
