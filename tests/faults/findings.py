"""What kills of one writer have shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Findings:
    """Kills that hit a writer at work, what it had acknowledged, and what did not hold."""

    kills: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    """By kind."""
    in_between: int = 0
    """Kills that hit in the middle of a write: it is half there, or there and not acknowledged."""
    faults: list[str] = field(default_factory=list)

    def told(self) -> str:
        """In one line."""
        words = ", ".join(f"{count} {what}" for what, count in sorted(self.acknowledged.items()))
        return f"{self.kills} kills, {self.in_between} within a write; acknowledged before a kill: {words}"
