"""Markdown tables and figures of a detector report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from flow_rag_vla.benchmark.detectors.report import DetectorReport
from flow_rag_vla.tasks.contract import NOTHING

COLUMNS = (
    "ROC-AUC", "balanced accuracy", "type accuracy", "detected", "named rightly", "false alarms", "delay, steps",
    "before the end",
)  # fmt: skip

DELAY_RANGE = (-60, 120)


def _share(value: dict[str, Any] | None) -> str:
    if value is None or value["rate"] is None:
        return "-"
    return f"{value['rate']:.3f} [{value['ci95'][0]:.3f}, {value['ci95'][1]:.3f}]"


def _cells(m: dict[str, Any]) -> list[str]:
    auc = "-"
    if m["roc_auc"] is not None:
        auc = f"{m['roc_auc']:.3f} [{m['roc_auc_ci95'][0]:.3f}, {m['roc_auc_ci95'][1]:.3f}]"
    delay = m["delay"]
    spread = "-"
    if delay["median"] is not None:
        spread = f"{delay['median']:.0f} ({delay['quartiles'][0]:.0f} to {delay['quartiles'][1]:.0f})"
    balanced = "-" if m["balanced_accuracy"] is None else f"{m['balanced_accuracy']:.3f}"
    end = "-" if delay["before_end"] is None else f"{delay['before_end']:.0f}"
    return [
        auc,
        balanced,
        _share(m["type_accuracy"]),
        _share(m["detected"]),
        _share(m["named"]),
        _share(m["false_alarms"]),
        spread,
        end,
    ]


def _table(title: str, rows: dict[str, dict[str, Any]]) -> str:
    lines = [f"| {title} | n (failed) | {' | '.join(COLUMNS)} |", "|" + " --- |" * (len(COLUMNS) + 2)]
    lines += [f"| {name} | {m['episodes']} ({m['failed']}) | {' | '.join(_cells(m))} |" for name, m in rows.items()]
    return "\n".join(lines)


def report_tables(values: dict[str, Any]) -> str:
    """Every suite of ``DetectorReport.values`` as Markdown."""
    parts = [_table("detector", {**values["in_suite"], **values.get("chunk_policy", {})})]
    parts.extend(_table(task, rows) for task, rows in values["by_task"].items())
    if "held_out_task" in values:
        parts.extend(
            _table(f"task held out, thresholds {kind}", {t: m[kind] for t, m in values["held_out_task"].items()})
            for kind in ("transferred", "recalibrated")
        )
        parts.extend(
            _table(
                f"faults held out, {kind}",
                {f"{name}: {', '.join(m['faults'])}": m[kind] for name, m in values["held_out_faults"].items()},
            )
            for kind in ("learned", "classifier", "rnd")
        )
    times = [
        f"{batch.replace('_', ' ')}, {part}: median {t['p50']:.3f} ms, 95th percentile {t['p95']:.3f} ms"
        for batch, both in values["ms_per_call"].items()
        for part, t in both.items()
    ]
    return "\n\n".join([*parts, "; ".join(times)]) + "\n"


def draw_figures(report: DetectorReport, folder: Path) -> list[Path]:
    """ROC curves and detection delays as SVG; returns the files."""
    mpl.rcParams["svg.hashsalt"] = "detector"
    folder.mkdir(parents=True, exist_ok=True)
    roc, delays = Figure(figsize=(4.6, 4.2)), Figure(figsize=(5.6, 3.4))
    roc_axes, delay_axes = roc.subplots(), delays.subplots()
    for name, (verdicts, failed, failure_step) in report.verdicts.items():
        score = np.nan_to_num(verdicts.score.numpy(), neginf=-1e30)
        false_rate, true_rate, _ = roc_curve(failed.numpy(), score)
        roc_axes.plot(false_rate, true_rate, label=name)
        steps = (verdicts.alarm_step - failure_step)[failed & (verdicts.alarm_step != NOTHING)]
        ordered = np.sort(steps.numpy())
        delay_axes.step(ordered, np.arange(1, len(ordered) + 1) / int(failed.sum()), where="post", label=name)
    roc_axes.plot([0, 1], [0, 1], color="0.8", zorder=0)
    roc_axes.set(xlabel="false alarms, share of successful episodes", ylabel="detected, share of failing episodes")
    delay_axes.set(
        xlabel="control steps from the causal event to the alarm", ylabel="share of failing episodes", xlim=DELAY_RANGE,
        ylim=(0, 1),
    )  # fmt: skip
    delay_axes.axvline(0, color="0.8", zorder=0)
    files = []
    for figure, name in ((roc, "detector_roc.svg"), (delays, "detector_delay.svg")):
        figure.axes[0].legend(fontsize=7, frameon=False)
        figure.tight_layout()
        figure.savefig(folder / name, metadata={"Date": None})
        files.append(folder / name)
    return files
