"""How often a correction helps: Beta posteriors of single cases that borrow from their cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CandidateChoice:
    """What to try against retrieved failures; arrays of the shape of the case ids asked for."""

    candidate: Int64Array
    """The candidate with the highest posterior mean, lowest index on ties; 0 for no case."""
    reliability: Float32Array
    """Its posterior mean chance to help, 0 to 1; 0 for no case."""


def borrowed_counts(own: Int64Array, cluster: Int64Array, cluster_weight: float) -> Float64Array:
    """Pseudo-counts that each case borrows from the other cases of its cluster.

    With ``o = cluster - own`` the others' outcomes of a candidate, a case borrows
    ``o * min(1, cluster_weight / sum(o))``: the cluster's rate, worth at most ``cluster_weight``
    trials, so that a case's own evidence can always overrule it (a power prior, Ibrahim and Chen
    2000).

    Args:
        own: (..., num_candidates, 2) outcomes (helped, not helped) of the cases.
        cluster: (..., num_candidates, 2) outcomes of their whole clusters, the cases' own included.
        cluster_weight: the most trials that a cluster may lend to one candidate of one case; 0
            lends nothing.
    """
    others = (cluster - own).astype(np.float64)
    trials = others.sum(axis=-1, keepdims=True)
    return others * np.minimum(1.0, cluster_weight / np.maximum(trials, 1.0))


def posterior_means(prior: Float32Array, own: Int64Array, borrowed: Float64Array | float = 0.0) -> Float64Array:
    """(..., num_candidates) means of ``Beta(prior + own + borrowed)``, (..., num_candidates, 2)."""
    parameters = prior.astype(np.float64) + own + borrowed
    return parameters[..., 0] / parameters.sum(axis=-1)
