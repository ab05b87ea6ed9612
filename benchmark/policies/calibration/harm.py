"""Plays what needs no correction without the memory and with it: harm, episode by episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY, PARALLEL
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.episodes.actors import make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.episodes.seeds import seed_block
from flow_rag_vla.benchmark.policies.calibration.risk_control import Trial
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.env.batches import batches

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
    from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
    from flow_rag_vla.benchmark.run.run import Run
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.scenarios.sites import Site

KINDS = (Exposure.CLEAN, Exposure.CONTROL)
"""What nothing needs to be done about: plain layouts, and hazards' harmless twins."""


def calibration_episodes(sites: Sequence[Site], run_seed: int, count: int) -> dict[Exposure, list[PlannedEpisode]]:
    """``count`` episodes of each of ``KINDS`` at ``sites`` in turn, on layouts that nothing else uses.

    Raises:
        ValueError: a site has no avoidable hazard, and so no twin of one, or more layouts than a seed owns.
    """
    if any(not site.avoidable_faults for site in sites):
        raise ValueError("a site without avoidable hazards has no harmless twins to calibrate on")
    seeds = seed_block("calibration", run_seed, 2 * count)
    clean = [sites[i % len(sites)].scenario(seed) for i, seed in enumerate(seeds[:count])]
    control = []
    for i, seed in enumerate(seeds[count:]):
        site = sites[i % len(sites)]
        faults = site.avoidable_faults
        control.append(site.scenario(seed, faults[i // len(sites) % len(faults)], FaultClass.CONTROL))
    return {
        kind: [PlannedEpisode(kind, scenario, scenario.id, 1) for scenario in scenarios]
        for kind, scenarios in zip(KINDS, (clean, control), strict=True)
    }


class HarmMeter:
    """Plays episodes with the memory that a run's first encounter left, as its ``parallel`` would."""

    def __init__(self, run: Run, env: Fleet, latency: LatencyProfile, vision: VisionEncoder | None) -> None:
        """Use the settings and networks of ``run`` in the fleet ``env``; whoever gains anything is advised."""
        self._env, self._policy, self._latency, self._vision = env, run.networks.policy, latency, vision
        settings = run.arm_settings(latency)
        self._settings: ArmSettings = replace(settings, agent=replace(settings.agent, uplift_threshold=0.0))
        self._memory = new_memory(settings, self._policy.flow.horizon, run.barriers().after(run.plan.units[0]))

    def trials(self, episodes: Sequence[PlannedEpisode], on_progress: Callable[[int], None]) -> list[Trial]:
        """One trial for each of ``episodes`` whose physics held; ``on_progress`` hears how many have ended."""
        without, _ = self._play(FLOW_ONLY, None, episodes, on_progress)
        advised, scores = self._play(PARALLEL, self._memory, episodes, lambda done: on_progress(len(episodes) + done))
        return [
            Trial(score, base.succeeded and helped.failed)
            for base, helped, score in zip(without, advised, scores, strict=True)
            if base.valid and helped.valid
        ]

    def _play(
        self,
        arm: Arm,
        memory: FailureMemory | None,
        episodes: Sequence[PlannedEpisode],
        on_progress: Callable[[int], None],
    ) -> tuple[list[EpisodeRecord], list[float]]:
        """Records, and the gain that the advice taken promised."""
        agent = make_policy_agent(arm, self._env, self._policy, self._settings, memory, vision=self._vision)
        unit = Unit(arm.name, 1, self._env.num_envs, tuple(episodes))
        records, scores = [], []
        for batch in batches(unit.episodes, unit.num_envs):

            def on_step(ended: int, before: int = batch.first) -> None:
                on_progress(before + ended)

            result = run_batch(self._env, agent, unit, batch.entries, self._latency.of(arm.name), on_step)
            records += result.records
            scores += agent.notes().uplift.tolist()[: len(batch.entries)]
        return records, scores
