"""The slow path: what the failure memory advises for each observation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from flow_rag_vla.agents.agent import where_rows
from flow_rag_vla.agents.arms.arm import Placebo
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.tasks.contract import FAILURE_TYPES, NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.policy.encoders import StateEncoder
    from flow_rag_vla.memory.reader import CaseReader
    from flow_rag_vla.tasks.contract import Observation


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

    @classmethod
    def nothing(cls, num_envs: int, device: str = "cpu") -> Advice:
        """No advice for anybody."""
        none = torch.full((num_envs,), NOTHING, dtype=torch.long, device=device)
        return cls(none, none.clone(), none.clone(), torch.zeros(num_envs, device=device))

    def where(self, rows: torch.Tensor, other: Advice) -> Advice:
        """``other`` in ``rows`` (num_envs,) bool, this elsewhere."""
        return where_rows(rows, other, self)

    @property
    def given(self) -> torch.Tensor:
        """(num_envs,) bool: where there is advice."""
        return self.candidate != NOTHING


class Advisor:
    """Looks similar failures up and pools what is known of their corrections.

    A candidate's score is the mean of its posterior means over the retrieved cases, weighted by
    ``(similarity - threshold)``, so that a case at the edge of being similar counts for little.
    """

    def __init__(self, memory: CaseReader, encoder: StateEncoder, num_neighbours: int, gate: float) -> None:
        """Advise from ``memory``; candidates with a score below ``gate`` are not worth trying."""
        self.memory, self._encoder = memory, encoder
        self._k, self._gate = num_neighbours, gate

    def advise(self, observation: Observation) -> Advice:
        """Advice for every row of ``observation``."""
        device = str(observation.object_rgb.device)
        num_envs = observation.num_envs
        if len(self.memory) == 0:
            return Advice.nothing(num_envs, device)
        keys = self._encoder.encode(observation).cpu().numpy()
        # An environment whose physics broke gets no advice, and takes none from the others.
        sound = np.isfinite(keys).all(axis=1)
        keys[~sound] = np.eye(1, keys.shape[1], dtype=keys.dtype)
        found = self.memory.search(keys, self._k)
        case_ids = self._cases(found.case_ids)
        margin = found.similarity - self.memory.similarity_threshold + 1e-3
        weight = np.where(found.valid, margin, 0.0)[..., None]
        means = self.memory.candidate_means(case_ids)
        score = (weight * means).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9)
        best = score.argmax(axis=1)
        reliability = score.max(axis=1)
        given = found.hit & sound & (reliability >= self._gate)
        names = self.memory.failure_types(case_ids[:, 0])
        types = np.array([FAILURE_TYPES.index(name) if name in FAILURE_TYPES else NOTHING for name in names])

        def column(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.where(given, values, NOTHING)).to(device, torch.long)

        return Advice(
            case_id=column(case_ids[:, 0]),
            failure_type=column(types),
            candidate=column(best),
            reliability=torch.from_numpy(np.where(given, reliability, 0.0)).to(device, torch.float32),
        )

    def _cases(self, case_ids: np.ndarray) -> np.ndarray:
        return case_ids


class ShuffledAdvisor(Advisor):
    """A placebo: similar situations still trigger advice, but each case answers with another case's corrections."""

    def __init__(
        self, memory: CaseReader, encoder: StateEncoder, num_neighbours: int, gate: float, rng: np.random.Generator
    ) -> None:
        """``rng`` draws the permutation of cases once."""
        super().__init__(memory, encoder, num_neighbours, gate)
        ids = memory.case_ids
        self._answers_for = dict(zip(ids.tolist(), rng.permutation(ids).tolist(), strict=True))

    def _cases(self, case_ids: np.ndarray) -> np.ndarray:
        swap = np.vectorize(lambda case_id: self._answers_for.get(int(case_id), int(case_id)), otypes=[np.int64])
        return swap(case_ids)


def make_advisor(arm: Arm, memory: CaseReader, settings: ArmSettings, device: str = "cpu") -> Advisor:
    """The voice of ``memory`` as ``arm`` hears it."""
    encoder, agent = RetrievalEncoder(device=device), settings.agent
    if arm.placebo is Placebo.SHUFFLED:
        rng = np.random.Generator(np.random.Philox(key=settings.seed))
        return ShuffledAdvisor(memory, encoder, agent.num_neighbours, agent.confidence_gate, rng)
    return Advisor(memory, encoder, agent.num_neighbours, agent.confidence_gate)
