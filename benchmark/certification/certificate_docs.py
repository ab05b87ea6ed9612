"""Certificates for people: a table, what falls short, the page in the documentation and its dose-response curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

import flow_rag_vla.tasks.faults
from flow_rag_vla.benchmark.certification.certificate import CERTIFICATES, CONSTANT_SHARE, load_certificate
from flow_rag_vla.benchmark.scoring.statistics import proportion
from flow_rag_vla.tasks.catalogue.registry import all_tasks, get_task
from flow_rag_vla.tasks.contract import MAX_STEPS

FIGURE = "dose_response.svg"

INTRODUCTION = f"""Written by the command below; development seeds only. A cell is certified where the nominal expert
fails at least 60 % of the time and the expert told the truth succeeds with a lower 95 % bound of at least 0.90, on the
same layouts, spread over many sites; an episode with invalid physics stays in n and counts for neither.
*Failures by severity*: the nominal expert along the ladder, within {MAX_STEPS} steps."""


def _share(row: dict[str, Any], failed: bool = False) -> str:
    if row["rate"] is None:
        return "-"
    k = row["n"] - row["k"] - row["invalid"] if failed else row["k"]
    low, high = proportion(k, row["n"]).ci95 or (0.0, 1.0)
    note = f", {row['invalid']} invalid" if row["invalid"] else ""
    return f"{k}/{row['n']} [{100 * low:.1f}, {100 * high:.1f}]{note}"


def _p(value: float | None) -> str:
    return "-" if value is None else "< 1e-6" if value < 1e-6 else f"{value:.2g}"


def table(certificate: dict[str, Any]) -> str:
    """The faults of a certificate as a Markdown table."""
    rows = []
    for name, entry in certificate["faults"].items():
        avoidable = "nominal" in entry
        doses = ", ".join(f"{dose['severity']:g}: {100 * (dose['rate'] or 0):.0f} %" for dose in entry["dose"])
        rows.append(
            {
                "fault": f"`{name}`",
                "nominal expert fails [95 %]": _share(entry["nominal"], failed=True) if avoidable else "exogenous",
                "informed expert succeeds [95 %]": _share(entry["informed"]) if avoidable else "",
                "certified": ("yes" if entry["certified"] else "**no**") if avoidable else "",
                "failures by severity": doses,
                "trend p": _p(entry["trend_p"]),
                "reversal p": _p(entry["reversal_p"]),
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def verdict(certificate: dict[str, Any]) -> list[str]:
    """One line for everything that falls short; empty for a clean certificate."""
    slug = get_task(certificate["task"]).slug
    lines = [f"{slug}: {name} is not certified" for name, e in certificate["faults"].items() if e["certified"] is False]
    lines += [f"{slug}: {name} is not graded" for name, e in certificate["faults"].items() if not e["graded"]]
    worst = certificate["worst_site"]
    if worst["share"] > CONSTANT_SHARE:
        lines.append(f"{slug}: {worst['strategy']} solves {100 * worst['share']:.0f} % of site {worst['site']}")
    return lines


def write_docs(command: str, folder: Path = CERTIFICATES) -> Path:
    """Write ``tasks/faults/CERTIFICATE.md`` and its figure from the certificates in ``folder``."""
    root = Path(flow_rag_vla.tasks.faults.__path__[0])
    certificates = [c for task in all_tasks() if (c := load_certificate(task.name, folder)) is not None]
    parts = ["# Certificate of the scenarios", INTRODUCTION, f"    ./isaaclab.sh -p {command}"]
    parts.append(f"![Failure rate of the nominal expert against severity]({FIGURE})")
    for certificate in certificates:
        worst = certificate["worst_site"]
        parts += [
            f"## {certificate['task']}",
            table(certificate),
            f"n = {certificate['n']} a cell and expert, {certificate['dose_n']} a severity, physics "
            f"`{certificate['physics']}`. The best constant strategy ({worst['strategy']}; of 27 combinations of\n"
            f"grip, height and side, {certificate['grid_n']} episodes each) solves {100 * worst['share']:.0f} % of the "
            "avoidable cells of the site that suits it best.",
        ]
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
            if entry is None:
                continue
            rates = [dose["rate"] or 0.0 for dose in entry["dose"]]
            axis.plot(range(len(rates)), rates, marker="o", markersize=3, label=get_task(certificate["task"]).slug)
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
