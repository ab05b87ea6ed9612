"""One remembered failure: where it began, what was done, what to try, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
StrArray = npt.NDArray[np.str_]
BoolArray = npt.NDArray[np.bool_]

ACTION_DIM = 7
"""End-effector delta position (3, m), delta rotation (3, rad), signed grip (1)."""

UNIT_NORM_TOLERANCE = 1.0e-5
"""Rows whose length is this close to one count as unit rows and keep their bits."""


class ClusterKey(NamedTuple):
    """What pooled failures share: type, phase, and the caller's bin of where or with what."""

    failure_type: str
    phase: str
    region: str


class CaseShape(NamedTuple):
    """The sizes that all cases of one memory share."""

    embedding_dim: int
    horizon: int
    num_candidates: int


@dataclass(frozen=True, eq=False)
class FailureCase:
    """One failure, remembered with the window of decisions that led to it.

    ``key_states`` holds one row per decision before the failure (the grasp that later slipped comes
    before the slip), so that retrieval fires before the mistake.  All keys belong to one case and
    so share one record of outcomes: evidence about a failure is counted once, whichever of its keys
    was met.  Keys come from observations only; no scenario, environment or episode id is part of a
    case.

    Candidate ``c`` is one way to correct the failure (an entry of the caller's list).  Its chance
    to help is a Beta distribution, ``Beta(prior[c, 0] + counts[c, 0], prior[c, 1] + counts[c,
    1])``.

    Arrays are copied, converted to the types below and made read-only; keys are scaled to unit
    length.

    Raises:
        ValueError: an array has the wrong shape or a value that is not finite, a key has no length,
            a prior is not positive, or a count is negative.
    """

    key_states: Float32Array
    """(num_keys, embedding_dim) unit rows, earliest first; (embedding_dim,) stands for one row."""
    failed_action: Float32Array
    """(horizon, 7) the chunk that failed, in units of the action."""
    failure_type: str
    correction: Float32Array
    """(horizon, 7) the corrected chunk, in units of the action."""
    phase: str = ""
    """Phase of the failure."""
    region: str = ""
    """The caller's coarse bin, such as a workspace cell ``"2,-1"``."""
    prior: Float32Array = field(default_factory=lambda: np.ones((1, 2), dtype=np.float32))
    """(num_candidates, 2) Beta pseudo-counts (helped, not helped) before any outcome."""
    counts: Int64Array = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    """(num_candidates, 2) outcomes (helped, not helped); the empty default stands for none yet."""
    occurrences: int = 1
    """How many failures were merged into this case."""

    def __post_init__(self) -> None:
        """Copy, convert and check the arrays."""
        keys = np.array(self.key_states, dtype=np.float32, ndmin=2)
        prior = np.array(self.prior, dtype=np.float32)
        counts = np.array(self.counts, dtype=np.int64)
        if counts.shape == (0, 2):
            counts = np.zeros(prior.shape, dtype=np.int64)
        self._freeze("key_states", unit_rows(keys))
        if not len(keys):
            raise ValueError("a failure case needs at least one key state, got none")
        for name in ("failed_action", "correction"):
            chunk = np.array(getattr(self, name), dtype=np.float32)
            if chunk.ndim != 2 or chunk.shape[1] != ACTION_DIM or not len(chunk):
                raise ValueError(f"{name}: expected shape (horizon, {ACTION_DIM}), got {chunk.shape}")
            if not np.isfinite(chunk).all():
                raise ValueError(f"{name}: expected finite values, got nan or inf")
            self._freeze(name, chunk)
        if self.correction.shape != self.failed_action.shape:
            raise ValueError(
                f"correction: expected failed_action's shape {self.failed_action.shape}, got {self.correction.shape}"
            )
        if prior.ndim != 2 or prior.shape[1] != 2 or not len(prior):
            raise ValueError(f"prior: expected shape (num_candidates, 2), got {prior.shape}")
        if not (np.isfinite(prior).all() and (prior > 0).all()):
            raise ValueError("prior: expected finite pseudo-counts above zero")
        if counts.shape != prior.shape:
            raise ValueError(f"counts: expected the prior's shape {prior.shape}, got {counts.shape}")
        if (counts < 0).any() or self.occurrences < 1:
            raise ValueError("expected counts of at least 0 and occurrences of at least 1")
        self._freeze("prior", prior)
        self._freeze("counts", counts)

    def _freeze(self, name: str, value: npt.NDArray[Any]) -> None:
        value.setflags(write=False)
        object.__setattr__(self, name, value)

    @property
    def shape(self) -> CaseShape:
        """Embedding dimension, horizon and number of candidates."""
        return CaseShape(self.key_states.shape[1], len(self.correction), len(self.prior))

    @property
    def cluster(self) -> ClusterKey:
        """The cluster that this case belongs to."""
        return ClusterKey(self.failure_type, self.phase, self.region)

    @property
    def posterior(self) -> Float64Array:
        """(num_candidates, 2) Beta parameters after this case's own outcomes."""
        return self.prior.astype(np.float64) + self.counts

    @property
    def confidence(self) -> float:
        """Chance that the best candidate helps, 0 to 1: posterior mean from own outcomes."""
        posterior = self.posterior
        return float((posterior[:, 0] / posterior.sum(axis=1)).max())


def unit_rows(rows: npt.ArrayLike) -> Float32Array:
    """(n, dim) ``rows`` scaled to unit length; rows that already have it keep their bits.

    Raises:
        ValueError: ``rows`` is not two-dimensional, or a row is not finite or has no length.
    """
    array = np.ascontiguousarray(rows, dtype=np.float32)
    if array.ndim != 2:
        raise ValueError(f"embeddings: expected shape (n, embedding_dim), got {array.shape}")
    norms = np.sqrt(np.einsum("nd,nd->n", array, array, dtype=np.float32))
    bad = np.flatnonzero(~np.isfinite(norms) | (norms <= 0.0))
    if len(bad):
        raise ValueError(
            f"embeddings: expected finite rows with a direction, "
            f"got nan, inf or zero in {len(bad)} of {len(array)} rows, first in row {bad[0]}"
        )
    norms[np.abs(norms - 1.0) <= UNIT_NORM_TOLERANCE] = 1.0
    return array / norms[:, None]
