"""How long a run's decisions take: measured once a run by the batch-1 probe, kept in its directory, and simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.latency import LatencyProfile, parse_latency
from flow_rag_vla.benchmark.policies.probe import EPISODES, WARM_UP, probe_arms
from flow_rag_vla.benchmark.scoring import run_files
from flow_rag_vla.benchmark.scoring.score import probed_timing
from flow_rag_vla.benchmark.scoring.timing import Timing, read_medians
from flow_rag_vla.tasks.env.batches import padded

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.benchmark.episodes.plan import Unit
    from flow_rag_vla.benchmark.run.run import Run
    from flow_rag_vla.benchmark.workers.barriers import Barriers
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

PROBE_OBSERVATIONS = 32
MOST_DECISIONS = 25
"""Of a timed episode, also where episodes have more."""


class DecisionTimes:
    """Times single decisions after E1 (or at the end), on observations of E1's first layouts."""

    def __init__(self, run: Run, env: Fleet, barriers: Barriers, console: TextIO) -> None:
        """Nothing is measured yet; ``env`` is the run's fleet, ``barriers`` have its memory after E1."""
        self._run, self._env, self._barriers, self._console = run, env, barriers, console

    def measured(self) -> Timing:
        """What the probe measured, in this start of the run or in an earlier one; kept where E2 simulates it."""
        path = self._run.directory.path
        known = probed_timing(path)
        if known is None:
            known = self._probe()
            known.write(path, run_files.LATENCY_PROBE)
        if self._run.settings.latency == "measured" and not (path / run_files.LATENCY).is_file():
            known.write_medians(path)
        return known

    def latency_in(self, unit: Unit) -> LatencyProfile:
        """The latency profile that ``unit`` simulates; where it is measured, that is after E1 and for the whole run."""
        settings = self._run.settings
        if settings.latency != "measured":
            return parse_latency(settings.latency, settings.arms)
        if unit.round == 0:
            return LatencyProfile({})
        path = self._run.directory.path
        if not (path / run_files.LATENCY).is_file():
            self.measured()
        return parse_latency("measured", settings.arms, read_medians(path))

    def _probe(self) -> Timing:
        run = self._run
        settings = run.arm_settings(LatencyProfile({}))
        policy = run.networks.policy
        e1 = self._barriers.after(run.plan.units[0])
        consulting = [arm for arm in run.settings.arms if get_arm(arm).consults_memory]
        memories = {arm: new_memory(settings, policy.flow.horizon, e1).frozen() for arm in consulting}
        execute = settings.agent.executed(policy.flow.horizon)
        with Progress(WARM_UP + EPISODES, "timed episodes", self._console) as progress:
            arms = probe_arms(
                run.settings.arms,
                policy,
                memories,
                settings,
                self._observations(),
                lambda done: progress.update(done, "latency probe"),
                # In step, also where the run's pictures come late: arms that take turns would else wait for each
                # other's.
                run.networks.vision,
                decisions=min(MOST_DECISIONS, -(-self._env.max_episode_length // execute)),
            )
        return Timing(arms)

    def _observations(self) -> list[Observation]:
        run, env = self._run, self._env
        scenarios = [e.scenario for e in run.plan.units[0].episodes][: env.num_envs]
        env.load(padded(scenarios, env.num_envs), [0] * env.num_envs)
        observation = env.observe(images=run.settings.obs == "rgb")
        count = min(PROBE_OBSERVATIONS, env.num_envs)
        return [observation.select(torch.tensor([i], device=env.device)) for i in range(count)]
