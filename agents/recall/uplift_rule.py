"""When advice is given: where the best correction gains over doing nothing, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from flow_rag_vla.memory.evidence.uplift import NOTHING_PRIOR, Beta, uplift_bound


@dataclass(frozen=True)
class Choice:
    """One row a query."""

    given: torch.Tensor
    """(n,) bool: acting gains over doing nothing."""
    candidate: torch.Tensor
    """(n,) int64: what to try; of no meaning where nothing is given."""
    reliability: torch.Tensor
    """(n,) float32: posterior chance that it works, 0 to 1."""
    uplift: torch.Tensor
    """(n,) float32: lower bound of its gain over doing nothing, -1 to 1."""


@dataclass(frozen=True)
class UpliftRule:
    """Acts by the lower bound of the gain over doing nothing, and among what passes tries by the upper bound.

    With ``theta_c ~ Beta(prior_c + trials_c)`` and ``theta_0`` that of doing nothing, correction ``c`` passes where
    ``E[theta_c - theta_0] - z sd(theta_c - theta_0) > threshold``.  The one with the highest upper bound is tried: what
    was tried less is explored as posteriors move between rounds (upper confidence bound, Auer et al. 2002).
    """

    threshold: float = 0.0
    """Of the lower bound, -1 to 1."""
    caution: float = 0.25
    """``z``: standard deviations that the bounds lie from the mean."""

    def choose(self, prior: torch.Tensor, trials: torch.Tensor) -> Choice:
        """What to try.

        Args:
            prior: (n, num_candidates, 2) pseudo-trials (worked, did not) of each correction; row 0 is not looked at.
            trials: (n, num_candidates, 2) weighted episodes (worked, did not) in situations like each query's;
                candidate 0 is to do nothing.
        """
        parameters = prior[:, 1:] + trials[:, 1:]
        something = Beta(parameters[..., 0], parameters[..., 1])
        idle = trials[:, :1] + NOTHING_PRIOR
        nothing = Beta(idle[..., 0], idle[..., 1])
        lower = uplift_bound(something, nothing, -self.caution)
        passes = lower > self.threshold
        upper = uplift_bound(something, nothing, self.caution)
        given = passes.any(dim=1)
        # Where nothing passes, the best bound says by how much it was missed.
        order = torch.where(given[:, None], torch.where(passes, upper, -torch.inf), lower)
        best = order.argmax(dim=1, keepdim=True)
        return Choice(
            given=given,
            candidate=best.squeeze(1) + 1,
            reliability=something.mean.gather(1, best).squeeze(1),
            uplift=lower.gather(1, best).squeeze(1),
        )
