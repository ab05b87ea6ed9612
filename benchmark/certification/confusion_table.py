"""The label audit as text: its confusion matrix in Markdown, and its place in the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.certification.label_audit import LABELS

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.certification.label_audit import Audit

BEGIN, END = "<!-- audit: written by scripts/audit_labels.py --docs -->", "<!-- end of audit -->"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def summary_line(audit: Audit) -> str:
    """How many episodes agree, in one sentence."""
    agreeing = sum(episode.label_agrees for episode in audit.episodes)
    return (
        f"{agreeing} of {len(audit.episodes)} labels agree ({_percent(audit.agreement)}); phase, where the "
        f"construction determines it: {_percent(audit.phase_agreement)}; "
        f"end of the episode: {_percent(audit.success_agreement)}."
    )


def confusion_markdown(audit: Audit) -> str:
    """Constructed labels down, observed labels across, agreement last."""
    counts = audit.counts()
    lines = [
        "| constructed \\ observed | " + " | ".join(label.replace("_", " ") for label in LABELS) + " | agree |",
        "|---" * (len(LABELS) + 2) + "|",
    ]
    for row in LABELS:
        total = sum(counts[row].values())
        share = counts[row][row] / total if total else None
        cells = [str(counts[row][column] or "·") for column in LABELS]
        lines.append(f"| {row.replace('_', ' ')} | " + " | ".join(cells) + f" | {_percent(share)} |")
    return "\n".join(lines)


def disagreements(audit: Audit) -> list[str]:
    """One line for each episode whose label, phase or end is not as constructed."""
    return [
        f"{e.task} {e.family}: expected {e.expected} ({e.expected_phase or 'any phase'}, success {e.expected_success}),"
        f" observed {e.observed} ({e.observed_phase}, success {e.observed_success})"
        for e in audit.episodes
        if not (e.label_agrees and e.phase_agrees and e.success_agrees)
    ]


def write_into_docs(path: Path, text: str) -> None:
    """Replace what is between the marks of ``path`` by ``text``.

    Raises:
        ValueError: the marks are not there.
    """
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for the audit between {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
