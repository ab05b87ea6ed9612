"""Situations met, and per situation what was tried how often: the memory of successes, in bounded size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOMENTS = 2
"""When a candidate may be taken: before anything was felt, and when something was."""

_BLOCK = 512
"""New keys compared at once; bounds the similarity matrix to tens of megabytes."""

ROUNDING = 1.0e-6
"""Slack for float32 rounding: equal keys are one situation at a threshold of 1."""


def choices_of(candidates: Int64Array, felt: BoolArray, num_candidates: int) -> Int64Array:
    """Choices of ``candidates`` (n,), taken when something was ``felt``, (n,) or one for all, or before.

    Raises:
        ValueError: a candidate is out of range.
    """
    if ((candidates < 0) | (candidates >= num_candidates)).any():
        raise ValueError(
            f"candidates: expected 0 to {num_candidates - 1}, got {candidates.min()} to {candidates.max()}"
        )
    return candidates.astype(np.int64) + num_candidates * felt


@dataclass(frozen=True)
class Exposures:
    """One row a situation, oldest first; every change makes a new table.

    A situation is known by the key of the first episode that met it; later ones within the duplicate threshold add to
    its counts, so that a fleet that meets the same again takes no more room.
    """

    ids: Int64Array
    """(num_situations,) ascending, from 1."""
    keys: Float32Array
    """(num_situations, embedding_dim) unit rows."""
    counts: Int64Array
    """(num_situations, num_choices, 2) episodes in which a choice was made (worked, did not).  Choices are the
    candidates, taken before anything was felt, and then the same again, taken when something was; candidate 0 is to do
    nothing."""

    @classmethod
    def none(cls, embedding_dim: int, num_choices: int) -> Self:
        """Nothing met yet."""
        return cls(
            np.zeros(0, dtype=np.int64),
            np.zeros((0, embedding_dim), dtype=np.float32),
            np.zeros((0, num_choices, 2), dtype=np.int64),
        )

    def emptied(self) -> Self:
        """A table of the same sizes without any situation."""
        return self.none(self.keys.shape[1], self.counts.shape[1])

    def __len__(self) -> int:
        """Number of situations."""
        return len(self.ids)

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays."""
        return self.ids.nbytes + self.keys.nbytes + self.counts.nbytes

    def with_trials(
        self,
        keys: Float32Array,
        choices: Int64Array,
        worked: BoolArray,
        duplicate_threshold: float,
        max_size: int,
    ) -> Self:
        """This table and new episodes, in the given order.

        Beyond ``max_size`` situations those with the fewest trials are forgotten, the oldest first.

        Args:
            keys: (n, embedding_dim) unit rows.
            choices: (n,) what was tried, and when.
            worked: (n,) whether the episode came to its end.
            duplicate_threshold: Cosine similarity from which two situations are one.
            max_size: Situations to keep, at least 1.

        Raises:
            ValueError: unequal lengths, another embedding, or a choice that is out of range.
        """
        num_choices = self.counts.shape[1]
        if keys.ndim != 2 or keys.shape[1] != self.keys.shape[1]:
            raise ValueError(f"keys: expected shape (n, {self.keys.shape[1]}), got {keys.shape}")
        if choices.shape != (len(keys),) or worked.shape != (len(keys),):
            raise ValueError(
                f"expected choices and worked of shape ({len(keys)},), got {choices.shape} and {worked.shape}"
            )
        if ((choices < 0) | (choices >= num_choices)).any():
            raise ValueError(f"choices: expected 0 to {num_choices - 1}, got {choices.min()} to {choices.max()}")
        rows, all_keys = assign_rows(keys, self.keys, duplicate_threshold)
        num_new = len(all_keys) - len(self)
        counts = np.concatenate([self.counts, np.zeros((num_new, num_choices, 2), dtype=np.int64)])
        np.add.at(counts, (rows, choices, np.where(worked, 0, 1)), 1)
        next_id = int(self.ids[-1]) + 1 if len(self) else 1
        ids = np.concatenate([self.ids, np.arange(next_id, next_id + num_new)])
        return dataclasses.replace(self, ids=ids, keys=all_keys, counts=counts)._within(max_size)

    def _within(self, max_size: int) -> Self:
        if len(self) <= max_size:
            return self
        trials = self.counts.sum(axis=(1, 2))
        kept = np.sort(np.lexsort((self.ids, trials))[len(self) - max_size :])
        return dataclasses.replace(self, ids=self.ids[kept], keys=self.keys[kept], counts=self.counts[kept])


def assign_rows(keys: Float32Array, known: Float32Array, threshold: float) -> tuple[Int64Array, Float32Array]:
    """The situation of each of ``keys``, and the keys of all situations: ``known``, then new ones.

    A key belongs to the most similar earlier situation of at least ``threshold``, the oldest on ties, and is one of its
    own otherwise.

    Args:
        keys: (n, embedding_dim) unit rows.
        known: (m, embedding_dim) unit rows.
        threshold: Cosine similarity.

    Returns:
        (n,) rows, and (m + new, embedding_dim) keys.
    """
    rows = np.zeros(len(keys), dtype=np.int64)
    situations = [known]
    count = len(known)
    for begin in range(0, len(keys), _BLOCK):
        block = keys[begin : begin + _BLOCK]
        known = np.concatenate(situations)
        situations = [known]
        before = block @ known.T
        within = block @ block.T
        best = before.argmax(axis=1) if count else np.zeros(len(block), dtype=np.int64)
        closest = before.max(axis=1, initial=-np.inf)
        fresh: list[int] = []
        for i in range(len(block)):
            row, similarity = int(best[i]), float(closest[i])
            if fresh and within[i, fresh].max() > similarity:
                nearest = int(within[i, fresh].argmax())
                row, similarity = count + nearest, float(within[i, fresh[nearest]])
            if similarity < threshold - ROUNDING:
                row = count + len(fresh)
                fresh.append(i)
            rows[begin + i] = row
        situations.append(block[fresh])
        count += len(fresh)
    return rows, np.concatenate(situations)
