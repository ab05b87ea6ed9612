"""One thing that is off in a run directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

MAX_PER_FILE = 20
"""Findings that are told one by one; a file that was cut in half would give thousands."""


@dataclass(frozen=True)
class Finding:
    """What is off, and where."""

    path: Path
    what: str
    line: int | None = None
    """Counts from 1; None where it is the whole file."""
    unfinished: bool = False
    """It is merely not there yet: going on with the run makes it."""

    def __str__(self) -> str:
        """``FILE:LINE: what is off``, in one line whatever stands in the file."""
        place = str(self.path) if self.line is None else f"{self.path}:{self.line}"
        text = f"{place}: {self.what}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def told(findings: Iterable[Finding]) -> Iterator[str]:
    """A line each; of a file with very many, the first and the number of the others."""
    for path, group in groupby(findings, key=lambda finding: finding.path):
        of_file = list(group)
        yield from map(str, of_file[:MAX_PER_FILE])
        if len(of_file) > MAX_PER_FILE:
            yield f"{path}: {len(of_file) - MAX_PER_FILE} more of this file"
