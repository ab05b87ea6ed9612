"""How long each part of a run took, kept across interruptions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic


class PartTimes:
    """``timing.json``: seconds by part; a part that was interrupted adds what it took."""

    def __init__(self, path: Path) -> None:
        """Continue the file at ``path``, if there is one.

        Raises:
            ValueError: it is damaged.
        """
        self._path = path
        self.parts: dict[str, float] = read_json_object(path)["parts_s"] if path.exists() else {}

    @property
    def total_s(self) -> float:
        """Sum of all parts."""
        return sum(self.parts.values())

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time of the block towards ``name``, less what parts inside it take."""
        start, counted = time.monotonic(), self.total_s
        try:
            yield
        finally:
            inside = self.total_s - counted
            self.parts[name] = self.parts.get(name, 0.0) + time.monotonic() - start - inside
            rounded = {part: round(seconds, 2) for part, seconds in self.parts.items()}
            write_json_atomic(self._path, {"parts_s": rounded, "total_s": round(self.total_s, 2)})
