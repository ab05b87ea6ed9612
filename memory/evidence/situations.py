"""Situations met, and per situation what was tried how often: the memory of successes, in bounded size."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Callable
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

KEYS_AT_ONCE = 8192
"""New keys in memory at once: 16 MB with 512 dimensions."""

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
class KeySource:
    """Keys of episodes, somewhere: a block of them is in memory when it is asked for."""

    num_keys: int
    take: Callable[[Int64Array], Float32Array]
    """(n, embedding_dim) the unit rows at the positions (n,), in that order."""

    @classmethod
    def of(cls, keys: Float32Array) -> Self:
        """``keys`` (n, embedding_dim), unit rows that are in memory anyhow."""
        return cls(len(keys), keys.__getitem__)


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
        keys: KeySource,
        choices: Int64Array,
        worked: BoolArray,
        duplicate_threshold: float,
        max_size: int,
    ) -> Self:
        """This table and new episodes, in the given order.

        Beyond ``max_size`` situations those with the fewest trials are forgotten, the oldest first.

        Args:
            keys: What each of n episodes began in.
            choices: (n,) what was tried, and when.
            worked: (n,) whether the episode came to its end.
            duplicate_threshold: Cosine similarity from which two situations are one.
            max_size: Situations to keep, at least 1.

        Raises:
            ValueError: unequal lengths, another embedding, or a choice that is out of range.
        """
        num_choices = self.counts.shape[1]
        if choices.shape != (keys.num_keys,) or worked.shape != (keys.num_keys,):
            raise ValueError(
                f"expected choices and worked of shape ({keys.num_keys},), got {choices.shape} and {worked.shape}"
            )
        if ((choices < 0) | (choices >= num_choices)).any():
            raise ValueError(f"choices: expected 0 to {num_choices - 1}, got {choices.min()} to {choices.max()}")
        rows, fresh = assign_rows(keys, self.keys, duplicate_threshold)
        trials = np.concatenate([self.counts.sum(axis=(1, 2)), np.zeros(len(fresh), dtype=np.int64)])
        np.add.at(trials, rows, 1)
        next_id = int(self.ids[-1]) + 1 if len(self) else 1
        ids = np.concatenate([self.ids, np.arange(next_id, next_id + len(fresh))])
        kept = np.arange(len(ids))
        if len(ids) > max_size:
            kept = np.sort(np.lexsort((ids, trials))[len(ids) - max_size :])
        old, new = kept[kept < len(self)], fresh[kept[kept >= len(self)] - len(self)]
        blocks = [keys.take(new[begin : begin + KEYS_AT_ONCE]) for begin in range(0, len(new), KEYS_AT_ONCE)]
        all_keys = np.concatenate([self.keys[old], *blocks])
        # Outcomes of what is forgotten at once are never held: a round may meet many times what is kept.
        counts = np.concatenate([self.counts[old], np.zeros((len(new), num_choices, 2), dtype=np.int64)])
        row_of = np.full(len(ids), -1)
        row_of[kept] = np.arange(len(kept))
        stays = row_of[rows] >= 0
        np.add.at(counts, (row_of[rows[stays]], choices[stays], np.where(worked[stays], 0, 1)), 1)
        return dataclasses.replace(self, ids=ids[kept], keys=all_keys, counts=counts)


def assign_rows(keys: KeySource, known: Float32Array, threshold: float) -> tuple[Int64Array, Int64Array]:
    """The situation of each of ``keys``, counted from the first known one, and which of ``keys`` began a new one.

    A key belongs to the most similar earlier situation of at least ``threshold``, the oldest on ties, and is one of its
    own otherwise.  What began one is read again for every ``KEYS_AT_ONCE`` later ones, so that no more is in memory.

    Args:
        keys: Of n episodes.
        known: (m, embedding_dim) unit rows.
        threshold: Cosine similarity.

    Returns:
        (n,) rows, and (new,) positions among ``keys``.

    Raises:
        ValueError: ``keys`` have another embedding.
    """
    rows = np.zeros(keys.num_keys, dtype=np.int64)
    unique = array("q")
    for first in range(0, keys.num_keys, KEYS_AT_ONCE):
        taken = keys.take(np.arange(first, min(first + KEYS_AT_ONCE, keys.num_keys)))
        if taken.shape[1:] != known.shape[1:]:
            raise ValueError(f"keys: expected shape (n, {known.shape[1]}), got {taken.shape}")
        blocks = [taken[begin : begin + _BLOCK] for begin in range(0, len(taken), _BLOCK)]
        nothing = np.full(_BLOCK, -np.inf, np.float32), np.zeros(_BLOCK, np.int64)
        closest = [_closer((nothing[0][: len(block)], nothing[1][: len(block)]), block, known, 0) for block in blocks]
        for begin in range(0, len(unique), KEYS_AT_ONCE):
            earlier = keys.take(np.array(unique[begin : begin + KEYS_AT_ONCE]))
            of_earlier = len(known) + begin
            closest = [_closer(best, block, earlier, of_earlier) for best, block in zip(closest, blocks, strict=True)]
        here: list[int] = []
        for number, (block, best) in enumerate(zip(blocks, closest, strict=True)):
            begin = number * _BLOCK
            scores, situations = _closer(best, block, taken[here], len(known) + len(unique))
            within = block @ block.T
            count = len(known) + len(unique) + len(here)
            fresh: list[int] = []
            for i in range(len(block)):
                row, similarity = int(situations[i]), float(scores[i])
                if fresh and within[i, fresh].max() > similarity:
                    nearest = int(within[i, fresh].argmax())
                    row, similarity = count + nearest, float(within[i, fresh[nearest]])
                if similarity < threshold - ROUNDING:
                    row = count + len(fresh)
                    fresh.append(i)
                rows[first + begin + i] = row
            here += [begin + i for i in fresh]
        unique.extend(first + i for i in here)
    return rows, np.array(unique, dtype=np.int64)


def _closer(
    best: tuple[Float32Array, Int64Array], keys: Float32Array, situations: Float32Array, first: int
) -> tuple[Float32Array, Int64Array]:
    """``best`` of ``keys``, similarity and row, or the closest of ``situations``, whose rows begin at ``first``."""
    if not len(situations):
        return best
    similarity = keys @ situations.T
    nearest = similarity.argmax(axis=1)
    scores = similarity[np.arange(len(keys)), nearest]
    more = scores > best[0]
    return np.where(more, scores, best[0]), np.where(more, first + nearest, best[1])
