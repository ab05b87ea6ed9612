"""What a table is: text cells, each naming the place in the results that it shows."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from flow_rag_vla.benchmark.scoring.results import RunResults


@dataclass(frozen=True)
class Cell:
    """A text, perhaps with a note under it, and the source of each.

    A source is a JSON pointer whose first key is ``summary`` or ``timing``.
    """

    text: str
    source: str = ""
    note: str = ""
    note_source: str = ""

    @property
    def plain(self) -> str:
        """Text and note in one line."""
        return f"{self.text} {self.note}".strip()


@dataclass(frozen=True)
class Row:
    """A named row; the verdict's arm is marked."""

    name: str
    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Table:
    """A caption, column names (``groups`` spans them) and rows."""

    name: str
    caption: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    groups: tuple[tuple[str, int], ...] = ()

    def frame(self) -> pd.DataFrame:
        """The same table as a DataFrame of texts, indexed by row name."""
        spans = [group for group, span in self.groups for _ in range(span)] or [""] * len(self.columns)
        columns = [f"{g}: {c}" if g else c for g, c in zip(spans, self.columns, strict=True)]
        rows = [[cell.plain for cell in row.cells] for row in self.rows]
        index = pd.Index([row.name for row in self.rows], name=self.corner)
        return pd.DataFrame(rows, index=index, columns=columns)


def pointer(*keys: str) -> str:
    """A JSON pointer (RFC 6901) whose first key names the file."""
    return "/".join(key.replace("~", "~0").replace("/", "~1") for key in keys)


def arm_row(results: RunResults, name: str, cells: tuple[Cell, ...] | list[Cell]) -> Row:
    """A row that is marked where ``name`` is the verdict's arm."""
    return Row(name, tuple(cells), marked=name == results.summary.verdict.arm)
