"""When advice is given: where the best correction gains over doing nothing, now or later, with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from flow_rag_vla.agents.policy.features import constant_like
from flow_rag_vla.memory.evidence.uplift import NOTHING_PRIOR, Beta, uplift_bounds

UNFELT_WORKS = 0.9
"""Chance that an episode in which nothing is felt works, before any was met under this cue.

``flow_only`` in E1 of development seeds 31 and 71: 2048 of 2096 such episodes worked, 233 of 281 of hazards.  With one
half, a single failure known would make half of what is not felt fail, too, and whatever breaks nothing would be tried
at once, rather than what mends it once it is felt.
"""

LIKELY = 0.5
"""What mends with no more than this chance is not tried in place of what breaks too much.

Doing nothing that fails teaches more.  Stack, development seed 31: with whatever gains in its place, goal biases were
met by moving more slowly (none of 13 solved in two rounds); with this, 13 of 18 are solved in the third.
"""


@dataclass(frozen=True)
class Choice:
    """One row a query."""

    given: torch.Tensor
    """(n,) bool: acting gains over doing nothing by more than the threshold."""
    candidate: torch.Tensor
    """(n,) int64: what to try; of no meaning where nothing is given."""
    reliability: torch.Tensor
    """(n,) float32: posterior chance that it works, 0 to 1."""
    uplift: torch.Tensor
    """(n,) float32: lower bound of its gain over doing nothing, -1 to 1."""
    gains: torch.Tensor
    """(n,) bool: the same for a threshold of 0: to wait for what will be felt is worse."""


@dataclass(frozen=True)
class UpliftRule:
    """Tries by the upper bound what mends failures, and acts by the lower bound of its gain over doing nothing.

    With ``theta_c ~ Beta(prior_c + trials_c)`` and ``theta_0`` that of doing nothing, the correction ``c`` with the
    highest ``E[theta_c - theta_0] + z sd(theta_c - theta_0)`` is the one to try: what was tried less is explored as
    posteriors move between rounds (upper confidence bound, Auer et al. 2002).  It is given where the lower bound of
    its gain, what it breaks included (below), is above the threshold, which so decides how many are advised, never
    what: harm can only fall as the threshold rises.  What a prior says of harmless episodes has no part in which (among
    twins whatever changes least is the safest); outcomes have.  Where that one does not gain, the next that does is
    tried, if it is likelier than not to mend and mends more than what can be done late: what can wait is not replaced
    by what does little at once.

    Doing nothing before anything is felt includes what can be done then: ``theta_0`` is
    ``(1 - p) theta_unfelt + p max(theta_felt, max_c theta_late_c)``, ``p`` the chance to feel something.  Where nothing
    is wrong, with the chance ``r = (1 - p) theta_unfelt``, an early correction mends nothing but may break what works:
    its prior chance ``m``, which speaks of failures, becomes ``(1 - r) m + r spared``.  So the harmless twins that a
    growing memory knows weigh on both sides alike, and what decides is what is broken among them against what is
    mended at once rather than late.
    """

    threshold: float = 0.0
    """Of the lower bound, 0 to 1."""
    caution: float = 0.1
    """``z``: standard deviations that the bounds lie from the mean."""
    late_shares: tuple[float, ...] | None = None
    """For each candidate, the share of its prior chance to work that is left once something is felt; None for all."""
    spared: tuple[float, ...] | None = None
    """For each candidate, the chance that an episode in which nothing is wrong succeeds all the same; None
    takes the prior chances to speak of all episodes."""

    def choose(self, prior: torch.Tensor, trials: torch.Tensor, felt: torch.Tensor | None = None) -> Choice:
        """What to try.

        Args:
            prior: (n, num_candidates, 2) pseudo-trials (worked, did not) of each correction; row 0 is not looked at.
            trials: (n, 2 * num_candidates, 2) weighted episodes (worked, did not) in situations like each query's, by
                choice (see ``Exposures``).
            felt: (n,) bool, where something has been felt; nowhere by default.
        """
        early, late = trials.chunk(2, dim=1)
        later = _posterior(self._late(prior), late)
        unfelt, stays = _posterior_of_nothing(early[:, 0], UNFELT_WORKS), _posterior_of_nothing(late[:, 0])
        num_unfelt, num_felt = early[:, 0].sum(dim=1), late.sum(dim=(1, 2))
        feel = (num_felt + NOTHING_PRIOR) / (num_felt + num_unfelt + 2 * NOTHING_PRIOR)
        mends = _posterior(prior, early)
        now = _posterior(self._early(prior, (1.0 - feel) * unfelt.mean), early)
        # The best that can be done once something is felt; what mends less is not worth doing at once.
        then = torch.maximum(stays.mean, later.mean.amax(dim=1))
        waiting = _waiting(unfelt, then, feel, num_felt + num_unfelt + 2 * NOTHING_PRIOR)
        if felt is None:
            felt = torch.zeros_like(feel, dtype=torch.bool)
        rows = felt[:, None]
        worth_it = rows | (mends.mean > then[:, None])
        nothing = _where(felt, stays, waiting)
        return self._best(_where(rows, later, now), nothing, _where(rows, later, mends), worth_it)

    def _late(self, prior: torch.Tensor) -> torch.Tensor:
        if self.late_shares is None:
            return prior
        worked = prior[..., 0] * constant_like(self.late_shares, prior)
        return torch.stack([worked, prior.sum(dim=2) - worked], dim=2)

    def _early(self, prior: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """``prior`` where nothing is wrong with the chance ``right`` (n,)."""
        if self.spared is None:
            return prior
        strength = prior.sum(dim=2)
        worked = prior[..., 0]
        mixed = worked + right[:, None] * (constant_like(self.spared, prior) * strength - worked)
        return torch.stack([mixed, strength - mixed], dim=2)

    def _best(
        self,
        something: Beta[torch.Tensor],
        nothing: Beta[torch.Tensor],
        mends: Beta[torch.Tensor],
        worth_it: torch.Tensor,
    ) -> Choice:
        nothing = Beta(nothing.worked[:, None], nothing.did_not[:, None])
        lower, _ = uplift_bounds(something, nothing, self.caution)
        _, upper = uplift_bounds(mends, nothing, self.caution)
        tried = (lower > 0.0) & worth_it
        best = upper.argmax(dim=1, keepdim=True)
        likely = tried & (mends.mean > LIKELY)
        second = upper.masked_fill(~likely, -torch.inf).argmax(dim=1, keepdim=True)
        best = torch.where(tried.gather(1, best) | ~likely.any(dim=1, keepdim=True), best, second)
        bound = lower.gather(1, best).squeeze(1)
        gains = bound > 0.0
        return Choice(
            given=gains & (bound > self.threshold),
            candidate=best.squeeze(1) + 1,
            reliability=something.mean.gather(1, best).squeeze(1),
            uplift=bound,
            gains=gains,
        )


def _posterior(prior: torch.Tensor, trials: torch.Tensor) -> Beta[torch.Tensor]:
    """Of each correction, (n, num_candidates - 1)."""
    parameters = prior[:, 1:] + trials[:, 1:]
    return Beta(parameters[..., 0], parameters[..., 1])


def _posterior_of_nothing(trials: torch.Tensor, works: float = 0.5) -> Beta[torch.Tensor]:
    """Of trials (n, 2) of doing nothing and one pseudo-trial that ``works`` with this chance, (n,)."""
    worked = 2 * NOTHING_PRIOR * works
    return Beta(trials[:, 0] + worked, trials[:, 1] + 2 * NOTHING_PRIOR - worked)


def _waiting(
    unfelt: Beta[torch.Tensor], then: torch.Tensor, feel: torch.Tensor, episodes: torch.Tensor
) -> Beta[torch.Tensor]:
    """Of doing nothing until something is felt and what works ``then``, (n,); as sure as the ``episodes`` make it."""
    mean = (1.0 - feel) * unfelt.mean + feel * then
    return Beta(mean * episodes, (1.0 - mean) * episodes)


def _where(rows: torch.Tensor, there: Beta[torch.Tensor], elsewhere: Beta[torch.Tensor]) -> Beta[torch.Tensor]:
    """``there`` in ``rows``, a bool that broadcasts to both."""
    worked = torch.where(rows, there.worked, elsewhere.worked)
    return Beta(worked, torch.where(rows, there.did_not, elsewhere.did_not))
