"""Who answers for whom: in a memory's own voice each case for itself, in a placebo's somebody else."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from flow_rag_vla.memory.index import NO_CASE


class OwnAnswers:
    """The memory's own voice."""

    def of_cases(self, case_ids: np.ndarray) -> np.ndarray:
        """The case that answers where each of ``case_ids`` is retrieved; ``NO_CASE`` where nobody does."""
        return case_ids

    def of_situations(self, count: int) -> np.ndarray | None:
        """The row of the situation that answers, as to corrections, for each of ``count``; None for its own."""
        return None

    def of_rows(self, keys: torch.Tensor) -> torch.Tensor | None:
        """The row of ``keys`` (n, embedding_dim) whose advice each of them gets, (n,); None for its own."""
        return None


class ShuffledAnswers(OwnAnswers):
    """A placebo: similar situations still trigger advice, but each case answers with another case's corrections."""

    def __init__(self, case_ids: np.ndarray, rng: np.random.Generator) -> None:
        """``rng`` draws the permutation of ``case_ids``, all that there are, and that of situations, once."""
        self._rng = rng
        self._answers_for = dict(zip(case_ids.tolist(), rng.permutation(case_ids).tolist(), strict=True))

    def of_cases(self, case_ids: np.ndarray) -> np.ndarray:
        """As ``OwnAnswers``; cases that came later answer for themselves."""
        return np.array([self._answers_for.get(case_id, case_id) for case_id in case_ids.tolist()], dtype=np.int64)

    def of_situations(self, count: int) -> np.ndarray:
        """As ``OwnAnswers``."""
        return self._rng.permutation(count)


class WrongTypeAnswers(OwnAnswers):
    """A placebo: similar situations still trigger advice, but each case answers with one of another failure type.

    Where all cases are of one type nobody answers: the arm then acts as without a memory, and the report says that
    nothing was retrieved.
    """

    def __init__(self, case_ids: np.ndarray, types: np.ndarray, rng: np.random.Generator) -> None:
        """Draw who answers once.

        Args:
            case_ids: (n,) all that there are.
            types: (n,) the failure type of each.
            rng: Draws, for each case, one of those of other types; and the permutation of situations.
        """
        self._rng = rng
        answering = np.full(len(case_ids), NO_CASE, dtype=np.int64)
        for kind in np.unique(types):
            own = types == kind
            if not own.all():
                answering[own] = rng.choice(case_ids[~own], int(own.sum()))
        self._answers_for = dict(zip(case_ids.tolist(), answering.tolist(), strict=True))

    def of_cases(self, case_ids: np.ndarray) -> np.ndarray:
        """As ``OwnAnswers``; nobody answers for cases that came later."""
        return np.array([self._answers_for.get(case_id, NO_CASE) for case_id in case_ids.tolist()], dtype=np.int64)

    def of_situations(self, count: int) -> np.ndarray:
        """As ``OwnAnswers``; a permutation, since situations have no type."""
        return self._rng.permutation(count)


class AnswersByLot(OwnAnswers):
    """A placebo: as much advice as the memory would give, in episodes drawn by lot."""

    def __init__(self, seed: int) -> None:
        """The lot is drawn by ``seed`` and by what is asked, so that no episode before has a part in it."""
        self._seed = seed

    def of_rows(self, keys: torch.Tensor) -> torch.Tensor:
        """As ``OwnAnswers``."""
        asked = hashlib.sha256(f"{self._seed} ".encode() + keys.cpu().numpy().tobytes()).digest()
        rng = np.random.Generator(np.random.Philox(key=int.from_bytes(asked[:16])))
        return torch.from_numpy(rng.permutation(len(keys))).to(keys.device)
