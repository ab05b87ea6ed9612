"""Plays calibration episodes and fresh ones at every site of a development run: is what a calibration promises kept?"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from flow_rag_vla.agents.arms.catalogue import PARALLEL
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.policies.calibration.coverage import Choice, Coverage, SiteTrials, coverage, pooled
from flow_rag_vla.benchmark.policies.calibration.harm import (
    calibration_episodes,
    play_kinds,
    promising_arm,
    require_first_encounter,
)
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.resume import reopened
from flow_rag_vla.benchmark.run.run_plan import run_sites, scenario_file_of
from flow_rag_vla.benchmark.scoring.score import require_run

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.benchmark.policies.calibration.risk_control import Trial

SPLIT = "development"
"""Of the runs whose sites are looked at."""


@dataclass(frozen=True)
class CoverageRequest:
    """Where to look, and for what."""

    run: Path
    """A benchmark run of development seeds whose first encounter is complete."""
    limits: tuple[float, ...]
    """Shares of harm that are promised in turn."""
    error: float
    """Chance that harm is more."""
    episodes: int
    """Of either kind at each site, half to choose its threshold and half to judge it; each without the memory and with
    it."""
    arms: tuple[str, ...] = (PARALLEL.name,)
    """Whose advice it is, of each in turn; ``flow_only`` acts where it is not above the threshold."""


@dataclass(frozen=True)
class CoverageTable:
    """What was found, by arm and kind of episodes."""

    error: float
    by_site: dict[str, dict[str, list[Coverage]]]
    """Each site calibrated by itself."""
    together: dict[str, dict[str, list[Coverage]]]
    """All sites calibrated as one."""
    played: dict[str, dict[str, list[SiteTrials]]]

    @classmethod
    def of(cls, played: dict[str, dict[str, list[SiteTrials]]], limits: Sequence[float], error: float) -> Self:
        """What each limit of harm came to, with each choice of thresholds."""

        def rows(sites: Sequence[SiteTrials]) -> list[Coverage]:
            return [coverage(sites, limit, error, choice) for limit in limits for choice in Choice]

        by_site = {arm: {kind: rows(sites) for kind, sites in kinds.items()} for arm, kinds in played.items()}
        together = {
            arm: {kind: rows([pooled(sites)]) for kind, sites in kinds.items()} for arm, kinds in played.items()
        }
        return cls(error, by_site, together, played)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values, every trial among them."""
        return asdict(self)

    def __str__(self) -> str:
        """A Markdown table."""
        head = (
            "arm",
            "calibrated",
            "kind",
            "limit",
            "threshold chosen by",
            "thresholds, median",
            "abstained",
            "advised",
            "harmed",
            "sites above the limit",
            "shown to be (may be, where the promise is kept)",
        )
        rows = [head, ("---",) * len(head)]
        for how, found in (("each site", self.by_site), ("all as one", self.together)):
            for arm, kinds in found.items():
                rows += [(arm, how, kind, *_row(row)) for kind, found_rows in kinds.items() for row in found_rows]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(row: Coverage) -> tuple[str, ...]:
    sites = len(row.thresholds)
    low, high = min(row.thresholds), max(row.thresholds)
    spread = "" if low == high else f" ({low:.2f} to {high:.2f})"
    return (
        f"{100 * row.max_harm:g} points",
        str(row.choice),
        f"{statistics.median(row.thresholds):.2f}{spread}",
        f"{row.abstained} of {sites}",
        f"{row.advised} of {row.trials}",
        f"{row.harmed} ({100 * row.harmed / row.trials:.1f} %)",
        f"{row.above} of {sites}",
        f"{row.shown} ({row.expected_at_most})",
    )


def cover(request: CoverageRequest, console: TextIO) -> CoverageTable:
    """Calibrate every site of ``request.run`` by itself, and all as one, and count the harm on fresh episodes.

    Raises:
        UsageError: as ``calibrate``, the run is not of development seeds, or two halves need at least 2 episodes.
        ValueError: its sites have no harmless twins.
    """
    if request.episodes < 2:
        raise UsageError(f"--episodes is {request.episodes}, expected at least 2: one half judges the other")
    arms = [promising_arm(name, switched=True) for name in request.arms]
    require_run(request.run, "RUN")
    with run_lock(request.run):  # its memory may have to be merged
        return _covered(request, arms, console)


def _covered(request: CoverageRequest, arms: Sequence[Arm], console: TextIO) -> CoverageTable:
    run = reopened(str(request.run))
    if run.settings.split != SPLIT:
        raise UsageError(f"{request.run}: coverage is measured at {SPLIT} sites, got split={run.settings.split}")
    require_first_encounter(run)
    sites = run_sites(run.settings, scenario_file_of(run.settings))
    by_kind = calibration_episodes(sites, run.settings.seed, len(sites) * request.episodes)
    names = [site.seed for site in sites]
    played = {
        arm: {str(kind): in_halves(names, trials) for kind, trials in by_kind.items()}
        for arm, by_kind in play_kinds(run, by_kind, arms, console).items()
    }
    return CoverageTable.of(played, request.limits, request.error)


def in_halves(sites: Sequence[int], trials: Sequence[Trial | None]) -> list[SiteTrials]:
    """``trials`` of episodes at ``sites`` in turn, by site, in halves that met its hazards' twins alike.

    A site's hazards come in turn, too, so that the first half of its episodes is the one and the rest the other; None
    stands for an episode whose physics broke, which counts in neither.
    """
    found = []
    for i, site in enumerate(sites):
        own = trials[i :: len(sites)]
        middle = len(own) // 2
        halves = (tuple(t for t in half if t is not None) for half in (own[:middle], own[middle:]))
        found.append(SiteTrials(site, *halves))
    return found
