"""Text and tables as GitHub-flavoured Markdown; every value is escaped unless marked as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from flow_rag_vla.reports.table import Table

_SPECIAL = re.compile(r"([\\`*|~]|\](?=[(\[:]))")
"""What would start code, emphasis or a cell, or turn brackets into a link."""


def escape_markdown(value: object) -> str:
    """``value`` so that Markdown shows it as it is; ``Markup`` passes unchanged."""
    if isinstance(value, Markup):
        return str(value)
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text)


def markdown_table(table: Table) -> Markup:
    """A pipe table of the texts of ``table``."""
    frame = table.frame()
    header = [table.corner, *frame.columns]
    align = [":--", *["--:"] * len(frame.columns)]
    rows = [[name, *texts] for name, texts in zip(frame.index, frame.to_numpy().tolist(), strict=True)]
    return Markup("\n".join(_line(cells) for cells in (header, align, *rows)))


def code_block(text: str) -> Markup:
    """A fenced block that ``text`` cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{text}\n{fence}")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape_markdown(cell) for cell in cells) + " |"
