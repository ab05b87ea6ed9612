"""``FlowRAGVLA`` for a fleet: episodes side by side, notes private to each, everything named by its noise key."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch

from flow_rag_vla.agents.agent import Capabilities, EpisodeNotes
from flow_rag_vla.agents.corrections.late_release import LateRelease
from flow_rag_vla.agents.corrections.retreat import Retreat, SecondTry, grasps_elsewhere
from flow_rag_vla.agents.corrections.steering import SupportCount
from flow_rag_vla.agents.detection.monitor import LearnedDetector
from flow_rag_vla.agents.detection.rules import GOAL_TOLERANCE_M, RuleDetector, goal_offset
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA, Query
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.policy.features import HELD_FORCE_N, none_of
from flow_rag_vla.agents.policy.noise import NoiseTable
from flow_rag_vla.agents.recall.advice import Advice
from flow_rag_vla.agents.recall.remember import DecisionSnapshot, FailureNotebook
from flow_rag_vla.agents.recall.situation import Situation
from flow_rag_vla.tasks.contract import NOTHING

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.detection.alarm import FailureAlarm
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.detection.monitor import Monitor
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.chunk_policy import ChunkPolicy
    from flow_rag_vla.agents.policy.encoders import StateEncoder
    from flow_rag_vla.memory.case import FailureCase
    from flow_rag_vla.memory.reader import CaseReader
    from flow_rag_vla.tasks.contract import Observation

PLACED_HEIGHT_M = 0.015
"""An object this close to the goal's height lies on it."""


class FleetAgent:
    """Acts in ``num_envs`` environments; once an environment has taken advice, it keeps to it until the end."""

    def __init__(
        self,
        model: FlowRAGVLA,
        key_encoder: StateEncoder,
        *,
        num_envs: int,
        max_steps: int,
        execute: int,
        device: str = "cpu",
        remembers: bool = True,
        detector: DetectorCheckpoint | None = None,
        looks_at_support: bool = False,
    ) -> None:
        """Wrap ``model``.

        Args:
            model: Decides.
            key_encoder: Makes the keys of remembered failures.
            num_envs: Environments.
            max_steps: Control steps of an episode.
            execute: Actions of a chunk that run before the next decision.
            device: Where observations live.
            remembers: Keep cases of the failures noticed (arms without a memory need none after E1).
            detector: Notices them; None for the rules.
            looks_at_support: Note how often steering leaves the flow's support, beside the decisions.

        Raises:
            ValueError: ``execute`` is larger than the policy's horizon.
        """
        if not 1 <= execute <= model.flow.horizon:
            raise ValueError(f"execute is {execute}, expected 1 to the policy's horizon of {model.flow.horizon}")
        self.model, self.execute = model, execute
        self.capabilities = Capabilities(remembers=remembers)
        self._keys, self._remembers = key_encoder, remembers
        self._num_envs, self._device = num_envs, device
        self._noise = NoiseTable(num_envs, -(-max_steps // execute), model.flow.horizon, device)
        self._learned = None if detector is None else LearnedDetector(detector, num_envs, max_steps, device)
        self._detector: Monitor = self._learned or RuleDetector(num_envs, max_steps, device)
        self._notebook = FailureNotebook(num_envs, device)
        self._all = torch.arange(num_envs, device=device)
        self._retreat, self._second_try = Retreat(num_envs, device), SecondTry(num_envs, execute, device)
        self._late_release = LateRelease(num_envs, execute, device)
        self._support, self._looks_at_support = SupportCount(num_envs, device), looks_at_support
        self._seconds, self._calls = 0.0, 0
        self._begin()

    @classmethod
    def for_arm(
        cls,
        arm: Arm,
        policy: PolicyCheckpoint,
        memory: CaseReader | None,
        settings: ArmSettings,
        *,
        num_envs: int,
        max_steps: int,
        device: str = "cpu",
        remembers: bool = True,
        chunk_policy: ChunkPolicy | None = None,
        looks_at_support: bool = False,
    ) -> Self:
        """``arm`` for a fleet of ``num_envs``; arguments and errors as in ``FlowRAGVLA.for_arm``."""
        return cls(
            FlowRAGVLA.for_arm(arm, policy, memory, settings, device=device, chunk_policy=chunk_policy),
            RetrievalEncoder(device=device),
            num_envs=num_envs,
            max_steps=max_steps,
            execute=settings.agent.executed(policy.flow.horizon),
            device=device,
            remembers=remembers,
            detector=settings.detector,
            looks_at_support=looks_at_support,
        )

    def _begin(self) -> None:
        def zeros() -> torch.Tensor:
            return torch.zeros(self._num_envs, dtype=torch.long, device=self._device)

        self._decision = 0
        self._settled = Advice.nothing(self._num_envs, self._device)
        self._decisions, self._retrievals, self._late = zeros(), zeros(), zeros()
        self._placed = torch.zeros(self._num_envs, dtype=torch.bool, device=self._device)
        self._considered, self._closed = torch.zeros_like(self._placed), torch.zeros_like(self._placed)
        self._retreat.reset()
        self._second_try.reset()
        self._late_release.reset()
        self._support.reset()
        self._situation: Situation | None = None

    def tell(self, scenarios: Sequence[Any]) -> None:
        """Refuse: what hides in a scenario is for the agent to find out.  Raises ``ValueError``."""
        raise ValueError(f"an agent that acts on what it senses is not told the truth, got {len(scenarios)} scenarios")

    def reset(self, noise_keys: Sequence[str], attempts: Sequence[int]) -> None:
        """Start one episode per environment."""
        self._begin()
        self._noise.reset(self._all, list(zip(noise_keys, attempts, strict=True)))
        self._detector.reset(self._all)
        self._notebook.reset()
        self.model.processor.reset()

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        """Chunks (num_envs, horizon, 7)."""
        start = time.perf_counter()
        noise = self._noise.draw(self._decision)
        felt = self._detector.first
        consults = self.model.advisor is not None
        if consults:
            self._second_try.look(felt, observation)
        asks = running & ~self._settled.given & ~self._closed & (felt.mask | ~self._considered)
        asks &= ~self._second_try.pending
        if self._situation is None:
            self._situation = Situation(self._keys.encode(observation))
        decision = self.model.decide(Query(observation, noise, self._settled, asks, self._situation, felt.failure_type))
        self._decision += 1
        self._decisions += running
        advice, chunk = decision.advice, decision.chunk
        if advice is not None:
            # Once, and once more when something is felt and no second try is left: a gate that is asked again and again
            # lets everybody in.
            self._considered |= advice.considered & running
            self._closed |= advice.closed & running
            self._retrievals += advice.given & running
            if not decision.in_time:
                self._late += running & asks
            taken = running & ~self._settled.given & advice.given
            if not none_of(taken):
                self._settled = self._settled.where(taken, advice)
            retreats = taken & advice.late & grasps_elsewhere(advice.candidate)
            retreats |= running & self._second_try.standing
            if consults:
                chunk = self._late_release.chunk(chunk, observation, self._settled.candidate)
            chunk = self._retreat.chunk(retreats, chunk, observation)
        self._seconds += time.perf_counter() - start
        self._calls += 1
        self._support.decided(decision.steered if self._looks_at_support else None, running)
        if self._remembers:
            keys = self._keys.encode(observation)
            self._notebook.decided(DecisionSnapshot(observation, keys, chunk))
        return chunk

    def watch(self, observation: Observation, running: torch.Tensor) -> None:
        """Look for failures, and for the object lying free at its goal."""
        alarm = self._detector.update(observation, 1, running)
        o = observation
        level = (o.object_pos_b - o.goal_pos_b)[:, 2].abs() < PLACED_HEIGHT_M
        free = (o.previous_action[:, 6] > 0) & (o.grip_force_n[:, 0] < HELD_FORCE_N)
        placed = (goal_offset(o) < GOAL_TOLERANCE_M) & level & free
        self._placed = torch.where(running, placed, self._placed)
        self._note(alarm)
        self._support.look(self.model.flow)

    def _note(self, alarm: FailureAlarm) -> None:
        if self._remembers and self._decision > 0:
            self._notebook.alarmed(alarm.mask)

    def _conclude(self) -> None:
        """Let the learned detector judge what the end of an episode left unjudged; the rules judge every step."""
        if self._learned is not None:
            self._note(self._learned.conclude())

    def notes(self) -> EpisodeNotes:
        """What was noticed, from sensed quantities alone."""
        self._conclude()
        first, settled = self._detector.first, self._settled
        acted = settled.candidate > 0
        mended = self._second_try.pending & self._placed
        return EpisodeNotes(
            failure_type=first.failure_type,
            failure_phase=first.phase,
            failure_step=first.step,
            decisions=self._decisions.clone(),
            retrievals=self._retrievals.clone(),
            retrieved_case=settled.case_id.clone(),
            retrieved_type=settled.failure_type.clone(),
            candidate=torch.where(acted, settled.candidate, NOTHING),
            late_retrievals=self._late.clone(),
            uplift=settled.uplift.clone(),
            # Who tried again with success was never asked what else to do.
            felt=torch.where(acted, settled.late, first.mask & ~mended),
            steered=self._support.steered.clone(),
            off_support=self._support.off_support.clone(),
        )

    def seems_failed(self) -> torch.Tensor:
        """(num_envs,) bool: the object does not lie free at its goal."""
        return ~self._placed

    def failures(self) -> dict[int, FailureCase]:
        """The noticed failures of episodes that seem to have failed."""
        self._conclude()
        return self._notebook.cases(self._detector.first, self.seems_failed())

    def first_keys(self) -> torch.Tensor | None:
        """(num_envs, embedding_dim) of the first decisions; None before them."""
        return None if self._situation is None else self._situation.keys

    def decide_seconds(self) -> tuple[float, int]:
        """Seconds spent deciding, and the number of (batched) decisions."""
        return self._seconds, self._calls
