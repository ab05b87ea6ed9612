"""Whether the promise of a calibration is kept: each site by itself, judged by episodes that were not calibrated on.

The promise is that a site's harm is above the limit with a chance of at most ``error``.  Harm is not seen, only harmed
episodes: it is *shown* to be above the limit where as many harmed ones have a chance of at most ``SHOWN_AT`` at the
limit itself.  Where the promise is kept a site is shown with a chance of at most ``error + SHOWN_AT``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from scipy.stats import binom

from flow_rag_vla.benchmark.policies.calibration.risk_control import (
    NO_ADVICE,
    Trial,
    least_threshold,
    num_harmed,
    safe_threshold,
)

SHOWN_AT = 0.05
"""Chance, under the limit, of as many harmed episodes as show that harm is above it."""

SURE = 0.95
"""Chance that no more sites than ``expected_at_most`` are shown where the promise is kept."""

_ROUNDING = 1e-9
"""Of a share times a number, which may miss the whole number that it is."""


class Choice(StrEnum):
    """How a threshold is chosen: the rule under test, and what it is compared with."""

    LEARN_THEN_TEST = "learn then test"
    SHARE = "share within the limit"
    """The least threshold at which the share of harmed calibration episodes is within the limit: promises nothing."""
    NONE = "no threshold"
    """All advice that the rule would give."""


@dataclass(frozen=True)
class SiteTrials:
    """One site's episodes of one kind."""

    site: int
    calibration: tuple[Trial, ...]
    fresh: tuple[Trial, ...]
    """Episodes that the threshold is not chosen on, and that judge it."""


@dataclass(frozen=True)
class Coverage:
    """What became of one limit of harm at all sites."""

    choice: Choice
    max_harm: float
    thresholds: tuple[float, ...]
    """One a site; ``NO_ADVICE`` where too few episodes were there to promise anything."""
    abstained: int
    """Sites where that was so."""
    above: int
    """Sites whose share of harmed fresh episodes is above the limit."""
    shown: int
    """Sites whose harm is shown to be above it."""
    expected_at_most: int
    """Sites that may be shown, with a chance of ``SURE``, where the promise is kept."""
    harmed: int
    """Fresh episodes, of all sites."""
    advised: int
    """Fresh episodes whose advice lies above their site's threshold."""
    trials: int
    """Fresh episodes."""

    @property
    def is_kept(self) -> bool:
        """No more sites are shown than the promise allows."""
        return self.shown <= self.expected_at_most


def coverage(sites: Sequence[SiteTrials], max_harm: float, error: float, choice: Choice) -> Coverage:
    """Choose a threshold at each of ``sites`` and count what it breaks there afterwards.

    Args:
        sites: At least one, each with fresh episodes.
        max_harm: Share of episodes that may be harmed, above 0 and below 1.
        error: Chance that more are, above 0 and below 1.
        choice: How thresholds are chosen.

    Raises:
        ValueError: as ``safe_threshold``; or there are no sites, or one has no fresh episodes.
    """
    if not sites or any(not site.fresh for site in sites):
        raise ValueError("coverage needs sites, each with episodes that its threshold was not chosen on")
    thresholds = [_threshold(site.calibration, max_harm, error, choice) for site in sites]
    values = [NO_ADVICE if threshold is None else threshold for threshold in thresholds]
    pairs = list(zip(sites, values, strict=True))
    harmed = [num_harmed(site.fresh, value) for site, value in pairs]
    counts = [(k, len(site.fresh)) for k, site in zip(harmed, sites, strict=True)]
    return Coverage(
        choice,
        max_harm,
        tuple(values),
        abstained=sum(threshold is None for threshold in thresholds),
        above=sum(k > max_harm * n + _ROUNDING for k, n in counts),
        shown=sum(is_shown_above(k, n, max_harm) for k, n in counts),
        expected_at_most=int(binom.ppf(SURE, len(sites), min(error + SHOWN_AT, 1.0))),
        harmed=sum(harmed),
        advised=sum(trial.score > value for site, value in pairs for trial in site.fresh),
        trials=sum(n for _, n in counts),
    )


def is_shown_above(harmed: int, trials: int, max_harm: float) -> bool:
    """``P(Binomial(trials, max_harm) >= harmed) <= SHOWN_AT``: harm within the limit would hardly look like this."""
    return float(binom.sf(harmed - 1, trials, max_harm)) <= SHOWN_AT


def _threshold(trials: Sequence[Trial], max_harm: float, error: float, choice: Choice) -> float | None:
    if choice is Choice.NONE:
        return 0.0
    if choice is Choice.SHARE:
        return least_threshold(trials, math.floor(max_harm * len(trials) + _ROUNDING))
    return safe_threshold(trials, max_harm, error).value


def pooled(sites: Sequence[SiteTrials]) -> SiteTrials:
    """All ``sites`` as one, as a calibration of a whole run takes them."""
    calibration = tuple(trial for site in sites for trial in site.calibration)
    return SiteTrials(sites[0].site, calibration, tuple(trial for site in sites for trial in site.fresh))
