"""A benchmark run: where it lies, what it is to do and what decides in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.episodes.actors import arm_settings

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
    from flow_rag_vla.benchmark.episodes.plan import Plan
    from flow_rag_vla.benchmark.run.config import BenchmarkSettings
    from flow_rag_vla.benchmark.run.networks import Networks
    from flow_rag_vla.benchmark.run.run_directory import RunDirectory


@dataclass(frozen=True)
class Run:
    """A run that has been started, or is resumed."""

    directory: RunDirectory
    settings: BenchmarkSettings
    """Resolved: nothing in them is left open."""
    plan: Plan
    networks: Networks

    def arm_settings(self, latency: LatencyProfile) -> ArmSettings:
        """What the run's arms are built from, where the virtual clock assumes ``latency``."""
        networks = self.networks
        return replace(
            arm_settings(self.settings.agent, networks.policy.flow.horizon, networks.bank, networks.detector),
            seed=self.settings.seed,
            flow_ms=latency.flow_ms,
            retrieval_ms=latency.retrieval_ms,
        )
