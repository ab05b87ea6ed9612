"""Calibrates the memory of a benchmark run: how much gain its advice must promise, for a given limit of harm."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import opened
from flow_rag_vla.benchmark.episodes.latency import parse_latency
from flow_rag_vla.benchmark.policies.calibration.harm import HarmMeter, calibration_episodes
from flow_rag_vla.benchmark.policies.calibration.risk_control import NO_ADVICE, Threshold, safe_threshold
from flow_rag_vla.benchmark.run.integrity.run_lock import run_lock
from flow_rag_vla.benchmark.run.resume import reopened
from flow_rag_vla.benchmark.run.run_plan import run_sites, scenario_file_of
from flow_rag_vla.benchmark.scoring.score import require_run
from flow_rag_vla.tasks.env.make import make_fleet

if TYPE_CHECKING:
    from typing import TextIO


@dataclass(frozen=True)
class CalibrationRequest:
    """What to calibrate, and what for."""

    run: Path
    """A benchmark run whose first encounter is complete."""
    max_harm: float
    """Share of CLEAN and of CONTROL episodes, each, that may be broken."""
    error: float
    """Chance that more are."""
    episodes: int
    """Played of either kind, without the memory and with it."""


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
        UsageError: there is no such run, this code would run it differently, or E1 is not complete.
        ValueError: its sites have no harmless twins.
    """
    require_run(request.run, "RUN")
    with run_lock(request.run):  # its memory may have to be merged
        return _calibrated(request, console)


def _calibrated(request: CalibrationRequest, console: TextIO) -> Calibration:
    run = reopened(str(request.run))
    settings = run.settings
    for unit in run.plan.units:
        if unit.round == 0 and (reason := run.directory.why_not_done(unit)):
            raise UsageError(f"{request.run}: the first encounter is not complete: {reason}")
    if settings.latency == "measured":
        raise UsageError(f"{request.run}: runs whose latency is measured are not calibrated; expected off or a profile")
    sites = run_sites(settings, scenario_file_of(settings))
    by_kind = calibration_episodes(sites, settings.seed, request.episodes)
    torch.set_num_threads(settings.threads)
    fleet = make_fleet(
        settings.task,
        min(request.episodes, settings.num_envs or request.episodes),
        physics=settings.physics,
        device=settings.device,
        max_steps=settings.max_steps,
        camera=settings.obs == "rgb",
    )
    found = {}
    with (
        closing(fleet) as env,
        Progress(4 * request.episodes, "episodes", console) as progress,
        opened(run.networks.vision, asynchronous=settings.vision_async) as vision,
    ):
        meter = HarmMeter(run, env, parse_latency(settings.latency, settings.arms), vision)
        for turn, (kind, episodes) in enumerate(by_kind.items()):
            before, note = 2 * turn * request.episodes, str(kind)
            trials = meter.trials(episodes, lambda done, b=before, n=note: progress.update(b + done, n))
            found[str(kind)] = safe_threshold(trials, request.max_harm, request.error)
    return Calibration(request.max_harm, request.error, found)
