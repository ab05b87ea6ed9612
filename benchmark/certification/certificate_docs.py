"""Certificates for people: a table, what falls short, the page in the documentation and its dose-response curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

import flow_rag_vla.tasks.faults
from flow_rag_vla.benchmark.certification.certificate import (
    AGREEMENT,
    CERTIFICATES,
    CONSTANT_SHARE,
    SIZES,
    STUDIED,
    load_certificate,
)
from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
from flow_rag_vla.tasks.contract import MAX_STEPS
from flow_rag_vla.tasks.facts.contact_parameters import CONTACT_TIME_S, MAX_PENETRATION_M

FIGURE = "dose_response.svg"

INTRODUCTION = f"""Each table by the command above it; development seeds only. A cell is certified where the nominal
expert fails at least 60 % of the time and the expert told the truth succeeds with a lower 95 % bound of at least 0.90,
on the same layouts, spread over many sites; an episode with invalid physics stays in n and counts for neither.
*Pads*: the deepest that both finger pads together sank into the object in any of the fault's episodes, whatever the
severity: for {1e3 * CONTACT_TIME_S:g} ms or in the mean of a control step, beyond {1e3 * MAX_PENETRATION_M:g} mm of
which an episode is invalid / in any physics step, impacts and collisions included. *Time steps agree*: episodes of
both experts that end alike with {", ".join(map(str, STUDIED))} physics steps a control step, however deep pads sink
with long ones (MuJoCo takes no time constant of contacts below two steps, so that longer steps also make them softer).
*Failures by severity*: the nominal expert along the ladder, within {MAX_STEPS} steps."""


def _share(row: dict[str, Any], failed: bool = False) -> str:
    k = row["n"] - row["k"] - row["invalid"] if failed else row["k"]
    return f"{proportion(k, row['n'])}{f', {row["invalid"]} invalid' if row['invalid'] else ''}"


def _deepest(rows: list[dict[str, Any]], kind: str) -> str:
    depths = [row[kind] for row in rows if row[kind] is not None]
    return f"{max(depths):.1f}" if depths else "-"


def _p(value: float | None) -> str:
    return "-" if value is None else "< 1e-6" if value < 1e-6 else f"{value:.2g}"


def table(certificate: dict[str, Any]) -> str:
    """The faults of a certificate as a Markdown table."""
    rows = []
    for name, entry in certificate["faults"].items():
        avoidable = "nominal" in entry
        rows_of_fault = [row for row in (entry.get("nominal"), entry.get("informed"), *entry["dose"]) if row]
        alike = entry.get("time_steps")
        doses = ", ".join(f"{dose['severity']:g}: {100 * (dose['rate'] or 0):.0f} %" for dose in entry["dose"])
        rows.append(
            {
                "fault": f"`{name}`",
                "nominal expert fails [95 %]": _share(entry["nominal"], failed=True) if avoidable else "exogenous",
                "informed expert succeeds [95 %]": _share(entry["informed"]) if avoidable else "",
                "certified": ("yes" if entry["certified"] else "**no**") if avoidable else "",
                "pads, mm": " / ".join(
                    _deepest(rows_of_fault, kind) for kind in ("penetration_mm", "peak_penetration_mm")
                ),
                "time steps agree": "-" if alike is None else f"{alike['k']}/{alike['n']}",
                "failures by severity": doses or "-",
                "trend p": _p(entry["trend_p"]),
                "reversal p": _p(entry["reversal_p"]),
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def verdict(certificate: dict[str, Any]) -> list[str]:
    """One line for everything that falls short; empty for a clean certificate."""
    slug = get_task(certificate["task"]).slug
    lines = [f"{slug}: {name} is not certified" for name, e in certificate["faults"].items() if e["certified"] is False]
    lines += [f"{slug}: {name} is not graded" for name, e in certificate["faults"].items() if e["graded"] is False]
    for name, entry in certificate["faults"].items():
        alike = entry.get("time_steps")
        if alike is not None and alike["k"] < AGREEMENT * alike["n"]:
            lines.append(
                f"{slug}: {name} ends alike with every time step in only {alike['k']} of {alike['n']} episodes"
            )
    worst = certificate["worst_site"]
    if worst is not None and worst["share"] > CONSTANT_SHARE:
        lines.append(f"{slug}: {worst['strategy']} solves {100 * worst['share']:.0f} % of site {worst['site']}")
    return lines


def made_by(certificate: dict[str, Any]) -> str:
    """The command that makes ``certificate``."""
    sizes = " ".join(f"--{name} {certificate[name]}" for name in SIZES)
    task = get_task(certificate["task"]).slug
    return f"./isaaclab.sh -p scripts/certify_scenarios.py --physics {certificate['physics']} --task {task} {sizes}"


def write_docs(folder: Path = CERTIFICATES) -> Path:
    """Write ``tasks/faults/CERTIFICATE.md`` and its figure from the certificates in ``folder``."""
    root = Path(flow_rag_vla.tasks.faults.__path__[0])
    engines = sorted((path.name for path in folder.iterdir() if path.is_dir()), reverse=True)
    certificates = [
        c
        for engine in engines
        for task in all_tasks()
        if (c := load_certificate(task.name, engine, folder)) is not None
    ]
    parts = ["# Certificate of the scenarios", INTRODUCTION]
    parts.append(f"![Failure rate of the nominal expert against severity]({FIGURE})")
    for certificate in certificates:
        versions = ", ".join(f"{name} {version}" for name, version in certificate["versions"].items())
        parts += [
            f"## {certificate['task']} on {certificate['physics']}",
            f"    {made_by(certificate)}",
            table(certificate),
            f"n = {certificate['n']} a cell and expert, {certificate['dose_n']} a severity, "
            f"{certificate['time_step_n']} a cell, expert and time step; {versions}.",
        ]
        worst = certificate["worst_site"]
        if worst is not None:
            parts.append(
                f"The best constant strategy ({worst['strategy']}; of 27 combinations of grip, height and side,\n"
                f"{certificate['grid_n']} episodes each) solves {100 * worst['share']:.0f} % of the avoidable cells of "
                "the site that suits it best."
            )
        parts += [f"**Falls short**: {line}." for line in verdict(certificate)]
    (root / "CERTIFICATE.md").write_text("\n\n".join(parts) + "\n")
    _draw(certificates, root / FIGURE)
    return root / "CERTIFICATE.md"


def _draw(certificates: list[dict[str, Any]], path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(name for c in certificates for name in c["faults"]))
    columns = 5
    figure, axes = plt.subplots(-(-len(names) // columns), columns, figsize=(13, 2.1 * -(-len(names) // columns)))
    for axis, name in zip(axes.flat, names, strict=False):
        for certificate in certificates:
            entry = certificate["faults"].get(name)
            if entry is None or not entry["dose"]:
                continue
            rates = [dose["rate"] or 0.0 for dose in entry["dose"]]
            label = f"{get_task(certificate['task']).slug}, {certificate['physics']}"
            axis.plot(range(len(rates)), rates, marker="o", markersize=3, label=label)
            axis.set_xticks(range(len(rates)), [f"{dose['severity']:g}" for dose in entry["dose"]], fontsize=7)
            axis.set_xlabel(entry["unit"], fontsize=6)
        axis.set_title(name, fontsize=8)
        axis.set_ylim(-0.05, 1.05)
        axis.tick_params(labelsize=7)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    handles = {
        label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="lower right", fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
