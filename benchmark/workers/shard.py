"""A share of a run's units, for whoever has no scheduler but numbered jobs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from flow_rag_vla.benchmark.command.errors import UsageError

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.episodes.plan import Unit


@dataclass(frozen=True)
class Shard:
    """The units of each round whose place in the plan is ``number`` - 1 modulo ``count``."""

    number: int
    """From 1."""
    count: int

    @classmethod
    def of(cls, text: str) -> Self:
        """What ``i/N`` names.

        Raises:
            UsageError: it is no such thing.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard got {text!r}, expected i/N with i from 1 to N, such as 1/3")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """As it was given."""
        return f"{self.number}/{self.count}"

    def ids(self, units: Sequence[Unit]) -> set[str]:
        """Those of its units among all ``units`` of the plan."""
        return {unit.id for unit, number in self._numbers(units) if number == self.number}

    def missing(self, units: Sequence[Unit], done: set[str]) -> str:
        """What of the plan is not done, by round and shard, in one line; empty for nothing."""
        left = Counter((unit.round, number) for unit, number in self._numbers(units) if unit.id not in done)
        return ", ".join(
            f"{n} of round {round_} in shard {number}/{self.count}" for (round_, number), n in sorted(left.items())
        )

    def _numbers(self, units: Sequence[Unit]) -> list[tuple[Unit, int]]:
        place: Counter[int] = Counter()
        numbers = []
        for unit in units:
            numbers.append((unit, place[unit.round] % self.count + 1))
            place[unit.round] += 1
        return numbers
