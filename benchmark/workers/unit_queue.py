"""Which unit can run next: in the plan's order, each after those whose memory it starts from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.benchmark.workers.barriers import Barriers

PROBE = "probe"
"""The task of timing single decisions."""


class UnitQueue:
    """The tasks of a run that are left: its units, and the latency probe."""

    def __init__(
        self,
        units: Sequence[Unit],
        barriers: Barriers,
        is_done: Callable[[Unit], bool],
        *,
        probe: bool,
        probe_before_e2: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        """Ask ``is_done`` of every unit, after what it needs, whose memory is merged before where that is done.

        Args:
            units: All units of the plan.
            barriers: Merge what a unit starts from, before it is handed out.
            is_done: Whether a unit has run before, from the memory that is there now.
            probe: Decisions are to be timed, too: after E1 if ``probe_before_e2``, else in the end.
            probe_before_e2: E2 simulates the latency that is measured.
            only: Ids of the units to hand out; None for all.  The others are only waited for.
        """
        self.done: set[str] = set()
        self._units = {unit.id: unit for unit in units}
        self._barriers, self._is_done = barriers, is_done
        self._left: list[Unit] = []
        self._asked_again: set[str] = set()
        """Units that are done if what they need is merged into the memory that they began with, or if decisions take as
        long as they simulated."""
        self._running: set[str] = set()
        self._probe, self._e2_waits, self._only = probe, probe and probe_before_e2, only
        for unit in units:
            known = self._can_begin(unit) and not (self._e2_waits and unit.round > 0)
            if not is_done(unit):
                if self._hands_out(unit):
                    self._left.append(unit)
            elif known:
                self.done.add(unit.id)
            else:
                self._left.append(unit)
                self._asked_again.add(unit.id)

    @property
    def waiting(self) -> list[Unit]:
        """Units that are left and have not run, in the plan's order."""
        return [unit for unit in self._left if unit.id not in self._asked_again]

    def take(self) -> str | None:
        """The next task that can begin now, which is no longer left; None where all that is left must wait."""
        for unit in list(self._left):
            if (self._e2_waits and unit.round > 0) or not self._can_begin(unit):
                continue
            self._left.remove(unit)
            if unit.id in self._asked_again:
                self._asked_again.remove(unit.id)
                if self._is_done(unit):
                    self.done.add(unit.id)
                    continue
                if not self._hands_out(unit):
                    continue
            self._running.add(unit.id)
            return unit.id
        e1_done = all(unit.id in self.done for unit in self._units.values() if unit.round == 0)
        if self._probe and e1_done and not self._running:
            self._probe = False
            self._running.add(PROBE)
            return PROBE
        return None

    def _can_begin(self, unit: Unit) -> bool:
        """Whether all that ``unit`` needs is done; its memory is merged then."""
        if any(other.id not in self.done for other in self._barriers.needed_by(unit)):
            return False
        self._barriers.before(unit)
        return True

    def _hands_out(self, unit: Unit) -> bool:
        return self._only is None or unit.id in self._only

    def put_back(self, task: str) -> None:
        """``task`` is left again, before all others."""
        self._running.discard(task)
        if task == PROBE:
            self._probe = True
        else:
            self._left.insert(0, self._units[task])

    def finished(self, task: str) -> None:
        """``task`` is done."""
        self._running.discard(task)
        self.done.add(task)
        self._e2_waits = self._e2_waits and task != PROBE

    def give_up(self, task: str) -> None:
        """``task`` is neither done nor left."""
        self._running.discard(task)

    def size(self, task: str) -> int:
        """Episodes of ``task``."""
        return 0 if task == PROBE else len(self._units[task].episodes)

    def unit(self, task: str) -> Unit | None:
        """The unit that ``task`` is; None for the probe."""
        return self._units.get(task)
