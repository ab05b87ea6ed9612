"""Calibrates the memory of a benchmark run: how much gain its advice must promise, for a given limit of harm."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_rag_vla.agents.arms.catalogue import PARALLEL
from flow_rag_vla.benchmark.policies.calibration.harm import (
    calibration_episodes,
    play_kinds,
    promising_arm,
    require_first_encounter,
)
from flow_rag_vla.benchmark.policies.calibration.risk_control import NO_ADVICE, Threshold, safe_threshold
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.resume import reopened
from flow_rag_vla.benchmark.run.run_plan import run_sites, scenario_file_of
from flow_rag_vla.benchmark.scoring.score import require_run

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.arms.arm import Arm


@dataclass(frozen=True)
class CalibrationRequest:
    """What to calibrate, and what for."""

    run: Path
    """A benchmark run whose first encounter is complete."""
    max_harm: float | None
    """Share of CLEAN and of CONTROL episodes, each, that may be broken; None for the run's own ``agent.max_harm``."""
    error: float
    """Chance that more are."""
    episodes: int
    """Played of either kind, without the memory and with it."""
    arm: str = PARALLEL.name
    """Whose advice it is."""


@dataclass(frozen=True)
class Calibration:
    """What was found."""

    max_harm: float
    error: float
    kinds: dict[str, Threshold]

    @property
    def abstains(self) -> bool:
        """Too few episodes of some kind to promise anything: the memory is to be silent."""
        return any(kind.value is None for kind in self.kinds.values())

    @property
    def threshold(self) -> float:
        """For ``agent.uplift_threshold``: safe for every kind."""
        return max(NO_ADVICE if kind.value is None else kind.value for kind in self.kinds.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {**asdict(self), "abstains": self.abstains, "threshold": self.threshold}

    def __str__(self) -> str:
        """What a person wants to know, and the setting to pass on."""
        lines = [f"{name:8s} {kind}" for name, kind in self.kinds.items()]
        promise = f"harm is at most {100 * self.max_harm:g} points of either, with {100 * (1 - self.error):g} %"
        lines.append("abstains: no advice is safe to give" if self.abstains else promise)
        return "\n".join([*lines, f"agent.uplift_threshold={_rounded_up(self.threshold):.4f}"])


def _rounded_up(threshold: float) -> float:
    """To four digits: advice whose gain is the threshold itself is not safe, and must not slip in by rounding."""
    return math.ceil(threshold * 1e4) / 1e4


def calibrate(request: CalibrationRequest, console: TextIO) -> Calibration:
    """Play ``request.episodes`` of each kind at the run's sites and find the threshold that is safe for both.

    Raises:
        UsageError: there is no such run, this code would run it differently, E1 is not complete, or the arm promises
            no gain.
        ValueError: its sites have no harmless twins.
    """
    arm = promising_arm(request.arm)
    require_run(request.run, "RUN")
    with run_lock(request.run):  # its memory may have to be merged
        return _calibrated(request, arm, console)


def _calibrated(request: CalibrationRequest, arm: Arm, console: TextIO) -> Calibration:
    run = reopened(str(request.run))
    require_first_encounter(run)
    sites = run_sites(run.settings, scenario_file_of(run.settings))
    by_kind = calibration_episodes(sites, run.settings.seed, request.episodes)
    max_harm = run.settings.agent.max_harm / 100.0 if request.max_harm is None else request.max_harm
    played = play_kinds(run, by_kind, [arm], console)[arm.name]
    return Calibration(
        max_harm,
        request.error,
        {
            str(kind): safe_threshold([t for t in trials if t is not None], max_harm, request.error)
            for kind, trials in played.items()
        },
    )
