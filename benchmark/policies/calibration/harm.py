"""Plays what needs no correction without the memory and with it: harm, episode by episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.arms.arm import ChunkSource
from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY
from flow_rag_vla.agents.arms.registry import benchmark_arms, get_arm
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import load_bank, make_policy_agent, opened
from flow_rag_vla.benchmark.episodes.latency import parse_latency
from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.rollout import run_batches
from flow_rag_vla.benchmark.episodes.seeds import seed_block
from flow_rag_vla.benchmark.policies.calibration.risk_control import Trial
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.env.make import make_fleet

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
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


def require_first_encounter(run: Run) -> None:
    """Refuse a ``run`` that leaves no memory to measure.

    Raises:
        UsageError: E1 is not complete, or latency is measured, so that episodes are not what they were.
    """
    path = run.directory.path
    for unit in run.plan.units:
        if unit.round == 0 and (reason := run.directory.why_not_done(unit)):
            raise UsageError(f"{path}: the first encounter is not complete: {reason}")
    if run.settings.latency == "measured":
        raise UsageError(f"{path}: runs whose latency is measured are not calibrated; expected off or a profile")


def promising_arm(name: str, *, switched: bool = False) -> Arm:
    """The arm ``name``, whose advice promises a gain over doing nothing that a threshold can be set on.

    A threshold limits what advice breaks: without any, the arm must act as the reference, but for
    its reflexes.  Or it is ``switched`` on where its advice is above the threshold, the reference
    acting elsewhere.

    Raises:
        UsageError: there is no such arm, it promises no gain, or it acts otherwise without advice.
    """
    promising = [arm.name for arm in benchmark_arms() if _promises(arm, switched)]
    if name not in promising:
        raise UsageError(
            f"arm {name!r} promises no gain that a threshold could be set on; available: {', '.join(promising)}"
        )
    return get_arm(name)


def _promises(arm: Arm, switched: bool) -> bool:
    by_flow = arm.chunk_source is ChunkSource.FLOW
    return arm.consults_memory and arm.weighs_doing_nothing and (switched or by_flow)


class HarmMeter:
    """Plays episodes with the memory that a run's first encounter left, as its memory arms would."""

    def __init__(self, run: Run, env: Fleet, arms: Sequence[Arm], vision: VisionEncoder | None) -> None:
        """Use the settings and networks of ``run`` in the fleet ``env``; whoever gains anything is advised.

        ``arms`` are those that will play.
        """
        self._env, self._policy, self._vision = env, run.networks.policy, vision
        self._latency = parse_latency(run.settings.latency, run.settings.arms)
        settings = run.arm_settings(self._latency)
        self._settings: ArmSettings = replace(
            settings,
            agent=replace(settings.agent, uplift_threshold=0.0),
            bank=load_bank(arms, run.settings.checkpoint, self._policy, run.settings.device),
        )
        self._memory = new_memory(settings, self._policy.flow.horizon, run.barriers().after(run.plan.units[0]))

    def trials(
        self, arms: Sequence[Arm], episodes: Sequence[PlannedEpisode], progress: Progress
    ) -> dict[str, list[Trial | None]]:
        """By arm, one trial for each of ``episodes``, None where physics broke.

        Only what was advised counts as harmed.  Without advice an episode is taken for the reference's: an arm that
        acts otherwise is switched on by its advice, and a reflex that nobody advised is no threshold's concern.
        """
        without, _ = self._play(FLOW_ONLY, None, episodes, progress)
        found: dict[str, list[Trial | None]] = {}
        for arm in arms:
            advised, scores = self._play(arm, self._memory, episodes, progress)
            found[arm.name] = [
                Trial(score, score > 0 and base.succeeded and helped.failed) if base.valid and helped.valid else None
                for base, helped, score in zip(without, advised, scores, strict=True)
            ]
        return found

    def _play(
        self, arm: Arm, memory: FailureMemory | None, episodes: Sequence[PlannedEpisode], progress: Progress
    ) -> tuple[list[EpisodeRecord], list[float]]:
        """Records, and the gain that the advice taken promised."""
        agent = make_policy_agent(arm, self._env, self._policy, self._settings, memory, vision=self._vision)
        unit = Unit(arm.name, 1, self._env.num_envs, tuple(episodes))
        records, scores = [], []
        before = progress.done

        def on_step(ended: int) -> None:
            progress.update(before + ended, arm.name)

        for result in run_batches(self._env, agent, unit, self._latency.of(arm.name), on_step):
            records += result.records
            scores += agent.notes().uplift.tolist()[: len(result.records)]
        progress.update(before + len(episodes), arm.name)
        return records, scores


def play_kinds(
    run: Run, by_kind: Mapping[Exposure, Sequence[PlannedEpisode]], arms: Sequence[Arm], console: TextIO
) -> dict[str, dict[Exposure, list[Trial | None]]]:
    """By arm the trials of the episodes of each kind, as many of each, in a fleet as that of ``run``."""
    episodes = [episode for row in zip(*by_kind.values(), strict=True) for episode in row]
    settings = run.settings
    torch.set_num_threads(settings.threads)
    fleet = make_fleet(
        settings.task,
        min(len(episodes), settings.num_envs or len(episodes)),
        physics=settings.physics,
        device=settings.device,
        max_steps=settings.max_steps,
        camera=settings.obs == "rgb",
    )
    with (
        closing(fleet) as env,
        opened(run.networks.vision, asynchronous=settings.vision_async) as vision,
        Progress(len(episodes) * (1 + len(arms)), "episodes", console) as progress,
    ):
        found = HarmMeter(run, env, arms, vision).trials(arms, episodes, progress)
    num_kinds = len(by_kind)
    return {arm: {kind: trials[i::num_kinds] for i, kind in enumerate(by_kind)} for arm, trials in found.items()}
