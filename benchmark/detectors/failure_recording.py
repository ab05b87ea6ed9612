"""Records what a failure detector would see of episodes, whoever acts in them, and how they went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.agent import WrappedAgent
from flow_rag_vla.agents.detection.chunk_consistency import ChunkConsistency
from flow_rag_vla.agents.detection.rules import RuleDetector
from flow_rag_vla.agents.detection.window import SCORE_EVERY, WindowTracker
from flow_rag_vla.benchmark.detectors.failure_set import FailureSet
from flow_rag_vla.benchmark.episodes.plan import Unit
from flow_rag_vla.benchmark.episodes.rollout import run_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode
    from flow_rag_vla.tasks.contract import Observation
    from flow_rag_vla.tasks.env.fleet import Fleet

CHUNK_SAMPLES = 8
"""Chunks sampled at each decision for the energy distance, the one that acts included."""


class ChunkProbe:
    """Measures the policy's inconsistency at each decision; draws from a stream of its own."""

    def __init__(self, policy: PolicyCheckpoint, execute: int, seed: int) -> None:
        """Watch ``policy``, which decides after every ``execute`` actions."""
        self._policy = policy
        self._consistency = ChunkConsistency(execute)
        # Drawn on the CPU, so that samples do not depend on the policy's device.
        self._rng = torch.Generator().manual_seed(seed)

    def reset(self) -> None:
        """New episodes."""
        self._consistency.reset()

    @torch.no_grad()
    def decided(self, observation: Observation, chunk: torch.Tensor) -> torch.Tensor:
        """Single and energy distance (num_envs, 2) of the decision for ``chunk`` to the one before."""
        flow = self._policy.flow
        state = self._policy.encoder.encode(observation)
        others = [flow.generate(state, generator=self._rng) for _ in range(CHUNK_SAMPLES - 1)]
        chunks = torch.stack([flow.normalise(c) for c in (chunk, *others)])
        return torch.stack(self._consistency.update(chunks), dim=1)


@dataclass
class _Rows:
    """What one look at all environments left behind."""

    before: torch.Tensor
    after: torch.Tensor
    action: torch.Tensor
    phase: torch.Tensor
    chunk: torch.Tensor


class RecordingAgent(WrappedAgent):
    """Passes everything on to ``agent`` and keeps what a detector would have seen."""

    def __init__(self, agent: Agent, num_envs: int, max_steps: int, device: str, probe: ChunkProbe | None) -> None:
        """Without a ``probe``, chunk distances are NaN."""
        super().__init__(agent)
        self._num_envs, self._device, self._probe = num_envs, device, probe
        self.rules = RuleDetector(num_envs, max_steps, device)
        self._tracker = WindowTracker(num_envs, device)
        self._begin()

    def _begin(self) -> None:
        self.looks: list[_Rows] = []
        self._step = 0
        self._phase = torch.zeros(self._num_envs, dtype=torch.long, device=self._device)
        self._chunk = torch.full((self._num_envs, 2), torch.nan, device=self._device)

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Start one episode per environment."""
        env_ids = torch.arange(self._num_envs, device=self._device)
        self._begin()
        super().reset(noise_keys, attempts)
        self.rules.reset(env_ids)
        self._tracker.reset(env_ids)
        if self._probe is not None:
            self._probe.reset()

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, horizon, 7)."""
        chunk = super().decide(observation, running)
        if self._probe is not None:
            found = self._probe.decided(observation, chunk)
            self._chunk = torch.where(running.unsqueeze(1), found, self._chunk)
        return chunk

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """Keep the window, and a row of it now and then."""
        super().watch(observation, running)
        phase = self.rules.phase(observation)
        self.rules.update(observation, 1, running)
        self._phase = torch.where(running, phase, self._phase)
        self._tracker.update(observation, running)
        self._step += 1
        if self._step % SCORE_EVERY == 0:
            self.look()

    def look(self) -> None:
        """Keep a row of every environment; of ended episodes it is the last one."""
        window = self._tracker.window
        before, after, action = (t.half() for t in (window.before, window.after, window.action))
        self.looks.append(_Rows(before, after, action, self._phase, self._chunk))


def record_batch(
    env: Fleet,
    agent: RecordingAgent,
    unit: Unit,
    episodes: Sequence[PlannedEpisode],
    on_step: Callable[[int], None] | None = None,
) -> FailureSet:
    """Run ``episodes`` and return those with valid physics, on the CPU; arguments as in ``rollout.run_batch``."""
    played = run_batch(env, agent, unit, episodes, 0.0, on_step)
    agent.look()
    truth, first = env.truth, agent.rules.first
    keep = torch.tensor([r.valid for r in played.records]).nonzero().flatten()

    def kept(column: torch.Tensor) -> torch.Tensor:
        return column.cpu()[keep]

    steps = kept(truth.steps)
    num_looks = torch.div(steps + SCORE_EVERY - 1, SCORE_EVERY, rounding_mode="floor")
    looks = torch.arange(len(agent.looks))
    taken = looks.unsqueeze(0) < num_looks.unsqueeze(1)
    step = torch.minimum((looks + 1) * SCORE_EVERY, steps.unsqueeze(1))

    def rows(name: str) -> torch.Tensor:
        # Stacked where they are: to cross look by look would be to wait as often.
        return kept(torch.stack([getattr(look, name) for look in agent.looks], dim=1))[taken]

    records = [played.records[i] for i in keep.tolist()]
    return FailureSet(
        before=rows("before"),
        after=rows("after"),
        action=rows("action"),
        phase=rows("phase"),
        chunk=rows("chunk"),
        step=step[taken],
        episode=taken.nonzero()[:, 0],
        failed=torch.tensor([r.failed for r in records]),
        failure_type=kept(truth.failure_type),
        failure_phase=kept(truth.failure_phase),
        failure_step=kept(truth.failure_step),
        steps=steps,
        rule_type=kept(first.failure_type),
        rule_phase=kept(first.phase),
        rule_step=kept(first.step),
        layout_seed=torch.tensor([episodes[i].scenario.layout_seed for i in keep.tolist()]),
        faults=tuple(r.fault for r in records),
        tasks=tuple(r.task for r in records),
    )
