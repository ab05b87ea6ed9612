"""What the failure memory advises, one row per environment."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from flow_rag_vla.tasks.contract import NOTHING


@dataclass(frozen=True)
class Needs:
    """What it takes to follow the advice of a whole batch, known on the host; until the device is asked, anything."""

    percept: bool = True
    """A row's correction acts on the observation."""
    reroute: bool = True
    """A row's correction changes where a held object is carried along."""
    steering: bool = True
    """A row's correction acts on the chunk."""

    @property
    def anything(self) -> bool:
        """Somebody may have to act on advice."""
        return self.percept or self.reroute or self.steering

    def __or__(self, other: Needs) -> Needs:
        """What either needs."""
        return Needs(self.percept or other.percept, self.reroute or other.reroute, self.steering or other.steering)


@dataclass(frozen=True)
class Advice:
    """What to try, one row per environment; ``NOTHING`` and 0 where the memory has nothing to say."""

    case_id: torch.Tensor
    """(num_envs,) int64: the nearest case."""
    failure_type: torch.Tensor
    """(num_envs,) int64: its type, an index into ``FAILURE_TYPES``."""
    candidate: torch.Tensor
    """(num_envs,) int64: the correction most likely to help."""
    reliability: torch.Tensor
    """(num_envs,) float32: posterior chance that it helps, 0 to 1."""
    uplift: torch.Tensor
    """(num_envs,) float32: lower bound of its gain over doing nothing, -1 to 1; 0 where nothing says what that is."""
    considered: torch.Tensor
    """(num_envs,) bool: the gain over doing nothing has been weighed; the next time is when something is felt."""
    closed: torch.Tensor
    """(num_envs,) bool: it need not be weighed again in this episode, whatever is felt."""
    late: torch.Tensor
    """(num_envs,) bool: asked for when something had been felt."""
    needs: Needs = Needs()
    """At least what the rows need."""

    @classmethod
    def nothing(cls, num_envs: int, device: str = "cpu") -> Advice:
        """No advice for anybody."""
        none = torch.full((num_envs,), NOTHING, dtype=torch.long, device=device)
        zero = torch.zeros(num_envs, device=device)
        flags = (zero > 0 for _ in range(3))
        return cls(none, none.clone(), none.clone(), zero, zero.clone(), *flags, needs=Needs(False, False, False))

    @classmethod
    def of(cls, rows: torch.Tensor, answers: Advice, num_envs: int) -> Advice:
        """``answers`` (n,) in the rows ``rows`` (n,) int64 of ``num_envs``, nothing elsewhere."""
        columns = zip(cls.nothing(num_envs, str(rows.device)).columns, answers.columns, strict=True)
        return cls(*(nothing.index_put((rows,), answer) for nothing, answer in columns), needs=answers.needs)

    def where(self, rows: torch.Tensor, other: Advice) -> Advice:
        """``other`` in ``rows`` (num_envs,) bool, this elsewhere."""
        columns = zip(other.columns, self.columns, strict=True)
        return Advice(*(torch.where(rows, new, old) for new, old in columns), needs=self.needs | other.needs)

    @property
    def columns(self) -> tuple[torch.Tensor, ...]:
        """All but ``needs``, each (num_envs,), in their order."""
        opinion = self.case_id, self.failure_type, self.candidate, self.reliability, self.uplift
        return *opinion, self.considered, self.closed, self.late

    @property
    def given(self) -> torch.Tensor:
        """(num_envs,) bool: where there is advice."""
        return self.candidate != NOTHING
