"""The slow path: what the failure memory advises for each observation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.arms.arm import Placebo
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.recall.known_cases import KnownCases
from flow_rag_vla.memory.faiss_gpu import make_search
from flow_rag_vla.tasks.contract import NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.policy.encoders import StateEncoder
    from flow_rag_vla.memory.device_search import CaseSearch
    from flow_rag_vla.memory.reader import CaseReader
    from flow_rag_vla.memory.table import CaseTable
    from flow_rag_vla.tasks.contract import Observation


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
    needs: Needs = Needs()
    """At least what the rows need."""

    @classmethod
    def nothing(cls, num_envs: int, device: str = "cpu") -> Advice:
        """No advice for anybody."""
        none = torch.full((num_envs,), NOTHING, dtype=torch.long, device=device)
        return cls(none, none.clone(), none.clone(), torch.zeros(num_envs, device=device), Needs(False, False, False))

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
    def columns(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Case, type, candidate and reliability, each (num_envs,)."""
        return self.case_id, self.failure_type, self.candidate, self.reliability

    @property
    def given(self) -> torch.Tensor:
        """(num_envs,) bool: where there is advice."""
        return self.candidate != NOTHING


class Advisor:
    """Looks similar failures up and pools what is known of their corrections.

    A candidate's score is the mean of its posterior means over the retrieved cases, weighted by
    ``(similarity - threshold)``, so that a case at the edge of being similar counts for little.
    Keys, search and scores stay on the device; what is known of the cases goes there once, until the memory changes.
    """

    def __init__(
        self, memory: CaseReader, encoder: StateEncoder, num_neighbours: int, gate: float, device: str = "cpu"
    ) -> None:
        """Advise from ``memory`` on ``device``; candidates with a score below ``gate`` are not worth trying."""
        self.memory, self._encoder = memory, encoder
        self._k, self._gate, self._device = num_neighbours, gate, device
        self._search: tuple[int, CaseSearch] | None = None
        self._known: tuple[CaseTable, KnownCases] | None = None

    def advise(self, observation: Observation, asks: torch.Tensor | None = None) -> Advice:
        """Advice for every row of ``observation``, or only where ``asks`` (num_envs,) bool: no other is looked up."""
        if len(self.memory) == 0:
            return Advice.nothing(observation.num_envs, str(observation.object_rgb.device))
        if asks is None:
            return self._answer(self._encoder.encode(observation))
        # Waits for the device to say which rows ask: the others' search would cost more.
        rows = asks.nonzero().flatten()
        if len(rows) == 0:
            return Advice.nothing(observation.num_envs, str(rows.device))
        # Pictures are left where they are: no key needs them.
        asking = dataclasses.replace(observation, rgb=None).select(rows)
        answers = self._answer(self._encoder.encode(asking))
        return Advice.of(rows, answers, observation.num_envs)

    def _answer(self, keys: torch.Tensor) -> Advice:
        """Advice for each of ``keys`` (n, embedding_dim)."""
        search, cases = self._up_to_date_search(), self._up_to_date_cases()
        # An environment whose physics broke gets no advice, and takes none from the others.
        sound = keys.isfinite().all(dim=1)
        anything = keys.new_zeros(keys.shape[1])
        anything[:1] = 1.0  # a slice is filled on the device; one entry would be copied to it
        found = search.search(torch.where(sound[:, None], keys, anything), self._k, self.memory.similarity_threshold)
        place = torch.searchsorted(cases.ids, found.case_ids)
        margin = found.similarity - self.memory.similarity_threshold + 1e-3
        weight = torch.where(found.valid, margin, 0.0)
        # One neighbour after the other: a sum whose order is a kernel's differs in its last bits by device and batch.
        neighbours = list(zip(weight.unsqueeze(2).unbind(1), place.unbind(1), strict=True))
        total = reduce(torch.add, (weight for weight, _ in neighbours)).clamp(min=1e-9)
        score = reduce(torch.add, (weight * cases.means[row] for weight, row in neighbours)) / total
        reliability, best = score.max(dim=1).values, score.argmax(dim=1)
        given = found.hit & sound & (reliability >= self._gate)
        nearest = place[:, 0]
        return Advice(
            case_id=torch.where(given, cases.answering[nearest], NOTHING),
            failure_type=torch.where(given, cases.failure_type[nearest], NOTHING),
            candidate=torch.where(given, best, NOTHING),
            reliability=torch.where(given, reliability, 0.0),
        )

    def _up_to_date_search(self) -> CaseSearch:
        # Outcomes change no key: what they teach sends nothing but ``KnownCases`` to the device.
        index = self.memory.index
        if self._search is None or self._search[0] != index.version:
            self._search = index.version, make_search(index, self._device)
        return self._search[1]

    def _up_to_date_cases(self) -> KnownCases:
        table = self.memory.table
        if self._known is None or self._known[0] is not table:
            answering = self._answering(self.memory.case_ids)
            self._known = table, KnownCases.of(self.memory, answering, self._device)
        return self._known[1]

    def _answering(self, case_ids: np.ndarray) -> np.ndarray:
        """The case that answers where each of ``case_ids`` is retrieved."""
        return case_ids


class ShuffledAdvisor(Advisor):
    """A placebo: similar situations still trigger advice, but each case answers with another case's corrections."""

    def __init__(
        self,
        memory: CaseReader,
        encoder: StateEncoder,
        num_neighbours: int,
        gate: float,
        rng: np.random.Generator,
        device: str = "cpu",
    ) -> None:
        """``rng`` draws the permutation of cases once."""
        super().__init__(memory, encoder, num_neighbours, gate, device)
        ids = memory.case_ids
        self._answers_for = dict(zip(ids.tolist(), rng.permutation(ids).tolist(), strict=True))

    def _answering(self, case_ids: np.ndarray) -> np.ndarray:
        return np.array([self._answers_for.get(case_id, case_id) for case_id in case_ids.tolist()], dtype=np.int64)


def make_advisor(arm: Arm, memory: CaseReader, settings: ArmSettings, device: str = "cpu") -> Advisor:
    """The voice of ``memory`` as ``arm`` hears it."""
    encoder, agent = RetrievalEncoder(device=device), settings.agent
    if arm.placebo is Placebo.SHUFFLED:
        rng = np.random.Generator(np.random.Philox(key=settings.seed))
        return ShuffledAdvisor(memory, encoder, agent.num_neighbours, agent.confidence_gate, rng, device)
    return Advisor(memory, encoder, agent.num_neighbours, agent.confidence_gate, device)
