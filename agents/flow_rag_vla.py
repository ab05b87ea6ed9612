"""The whole agent: a flow policy that acts, a failure memory that is asked beside it, a merger of the two."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import nn

from flow_rag_vla.agents.arms.arm import ChunkSource
from flow_rag_vla.agents.corrections.corrections import (
    CANDIDATES,
    apply_correction,
    candidate_index,
    corrects_chunks,
    reroutes,
)
from flow_rag_vla.agents.corrections.observation_correction import apply_observation_correction, corrects_observation
from flow_rag_vla.agents.corrections.steering import SteeredChunks, negative, steering_method, strength_of, warm_start
from flow_rag_vla.agents.detection.rules import UNKNOWN, classify_failure
from flow_rag_vla.agents.policy.chunk_policy import hold_still
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.policy.features import none_of
from flow_rag_vla.agents.recall.advice import Advice, Needs
from flow_rag_vla.agents.recall.advisor import Advisor, make_advisor
from flow_rag_vla.agents.recall.clock import Clock, VirtualClock
from flow_rag_vla.agents.recall.dual_pathway import Decision, DualPathwayProcessor, FlowAnswer, Poll
from flow_rag_vla.agents.recall.failed_chunks import FailedChunks
from flow_rag_vla.agents.recall.remember import failure_cases, signatures_between
from flow_rag_vla.agents.recall.told_advice import ToldAdvice
from flow_rag_vla.tasks.contract import CONTROL_HZ, Phase

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.arm import Arm
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.corrections.steering import SteeringMethod
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.chunk_policy import ChunkPolicy
    from flow_rag_vla.agents.policy.encoders import StateEncoder
    from flow_rag_vla.agents.recall.situation import Situation
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.memory.reader import CaseReader
    from flow_rag_vla.tasks.contract import Observation


@dataclass(frozen=True)
class Query:
    """One decision: what is sensed, the policy's noise, and what each environment has already settled on."""

    observation: Observation
    noise: torch.Tensor
    """(num_envs, horizon, 7) standard normal."""
    settled: Advice
    """Advice taken earlier in the same episodes; it stays in force until they end."""
    asks: torch.Tensor | None = None
    """(num_envs,) bool: where the memory is asked; None for wherever nothing is settled."""
    situation: Situation | None = None
    """What the episodes began in; None for what is sensed now."""
    felt: torch.Tensor | None = None
    """(num_envs,) int64 type of failure felt so far, ``NOTHING`` where none was; None where nobody feels."""

    @property
    def asking(self) -> torch.Tensor:
        """(num_envs,) bool: where the memory is asked."""
        return ~self.settled.given if self.asks is None else self.asks


def merge_advice(settled: Advice, fresh: Advice | None) -> Advice:
    """``settled`` where an environment has settled on something, else ``fresh``."""
    return settled if fresh is None else fresh.where(settled.given, settled)


class FlowRAGVLA(nn.Module):
    """Flow policy and failure memory behind the implementation guide's interface.

    A decision generates the policy's own chunk, corrects it as the advice says, and lets the flow refine the
    corrected chunk.  Advice on the observation needs no steering: the policy's own chunk is then generated on the
    corrected observation.  Rows without advice are bitwise the policy's.
    """

    def __init__(
        self,
        policy: PolicyCheckpoint,
        advisor: Advisor | ToldAdvice | None,
        *,
        steering: SteeringMethod = warm_start,
        chunk_policy: ChunkPolicy | None = None,
        max_latency_ms: float = 25.0,
        clock: Clock | None = None,
        constant_candidates: tuple[int, ...] = (),
        demonstrations: ChunkPolicy | None = None,
        demonstration_strength: float = 0.0,
        failed_chunks: FailedChunks | None = None,
        memory: FailureMemory | None = None,
        key_encoder: StateEncoder | None = None,
        seed: int = 0,
    ) -> None:
        """Put the parts together.

        Args:
            policy: Encoder and flow.
            advisor: The memory's voice, or what was told in its place; None acts on the flow alone.
            steering: How a corrected chunk enters the flow.
            chunk_policy: Replaces the flow as the source of chunks (``rag_only``); corrections then apply as they are.
            max_latency_ms: Budget of a decision.
            clock: Real time with a retrieval thread by default.
            constant_candidates: Corrections applied to every chunk, whatever the memory says.
            demonstrations: Every chunk of the flow is steered to theirs, whatever the memory says.
            demonstration_strength: How strongly, 0 to 1.
            failed_chunks: Where nothing is advised, the flow is steered away from these.
            memory: Where ``update_memory`` writes.
            key_encoder: Makes the keys of what it writes.
            seed: Of the noise that ``forward`` draws where none is given.
        """
        super().__init__()
        self.encoder, self.flow = policy.encoder, policy.flow
        self.advisor, self._steering, self._chunk_policy = advisor, steering, chunk_policy
        self._constant = constant_candidates
        self._demonstrations, self._demonstration_strength = demonstrations, demonstration_strength
        self._failed_chunks = failed_chunks
        self._memory, self._key_encoder = memory, key_encoder
        self._generator = torch.Generator().manual_seed(seed)
        self.processor: DualPathwayProcessor[Query, Advice] = DualPathwayProcessor(
            self._flow_pathway,
            self._memory_pathway,
            max_latency_ms,
            clock,
            # In simulated time a search begins whether or not a row asks, so that no row's answers wait for another's.
            None if isinstance(clock, VirtualClock) else self._has_questions,
        )

    @classmethod
    def for_arm(
        cls,
        arm: Arm,
        policy: PolicyCheckpoint,
        memory: CaseReader | None,
        settings: ArmSettings,
        *,
        device: str = "cpu",
        clock: Clock | None = None,
        chunk_policy: ChunkPolicy | None = None,
    ) -> Self:
        """The model of ``arm``.

        Args:
            arm: An arm with a policy.
            policy: The shared flow policy.
            memory: What arms with a memory consult; None leaves them without.
            settings: Retrieval and latency.
            device: Where the model runs.
            clock: Real time for a probe; None stands for the virtual clock that ``settings`` describe.
            chunk_policy: The same policy in another runtime.

        Raises:
            ValueError: an arm without a policy, without the demonstrations that it needs, or another runtime for an
                arm that needs the flow itself.
            UnknownNameError: the arm names a steering method or a correction that does not exist.
        """
        if not arm.has_policy:
            raise ValueError(f"arm {arm.name!r} is the scripted expert and has no model")
        if chunk_policy is not None and not arm.acts_on_flow_alone:
            raise ValueError(f"another runtime makes chunks for arms that act on the flow alone, got arm {arm.name!r}")
        if arm.needs_demonstrations and settings.bank is None:
            raise ValueError(f"arm {arm.name!r} acts on demonstrations, and no bank of them was loaded")
        if arm.chunk_source is ChunkSource.DEMONSTRATIONS:
            chunk_policy = settings.bank
        elif arm.chunk_source is ChunkSource.STILLNESS:
            chunk_policy = hold_still
        advisor = ToldAdvice() if arm.told_correction else None
        failed_chunks = None
        if memory is not None and arm.consults_memory:
            advisor = make_advisor(arm, memory, settings, device)
            if arm.avoids_failures:
                failed_chunks = FailedChunks(memory, RetrievalEncoder(device=device), device)
        if clock is None:
            retrieval_ms = settings.retrieval_ms if arm.retrieves_beside_flow and advisor is not None else 0.0
            interval_ms = 1000.0 * settings.agent.executed(policy.flow.horizon) / CONTROL_HZ
            clock = VirtualClock(settings.flow_ms, retrieval_ms, interval_ms)
        return cls(
            policy,
            advisor,
            steering=steering_method(arm.steering),
            chunk_policy=chunk_policy,
            clock=clock,
            constant_candidates=tuple(candidate_index(name) for name in arm.constant_corrections),
            demonstrations=settings.bank if arm.demonstration_strength > 0 else None,
            demonstration_strength=arm.demonstration_strength,
            failed_chunks=failed_chunks,
        )

    def forward(
        self,
        observation: Observation,
        instruction: str | None = None,
        noise: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Action chunks (num_envs, horizon, 7) for ``observation``.

        Args:
            observation: What is sensed.
            instruction: Spoken to all environments, instead of the texts that the observation carries.
            noise: (num_envs, horizon, 7) to start the flow from; drawn from the model's own stream by default.
        """
        if instruction is not None:
            observation = dataclasses.replace(observation, instruction=(instruction,) * observation.num_envs)
        if noise is None:
            noise = self.flow.noise(observation.num_envs, self._generator)
        device = str(noise.device)
        return self.decide(Query(observation, noise, Advice.nothing(observation.num_envs, device))).chunk

    def decide(self, query: Query) -> Decision[Advice]:
        """One decision of both pathways."""
        return self.processor.process(query)

    def update_memory(
        self,
        state_before: Observation,
        state_after: Observation,
        action: torch.Tensor,
        success: torch.Tensor,
    ) -> int:
        """Remember what failed between two observations, and that the rest did not; returns how many failures were new.

        Args:
            state_before: Sensed before ``action``.
            state_after: Sensed after it.
            action: (num_envs, horizon, 7) the chunk that ran.
            success: (num_envs,) bool; of successful rows only that they were is remembered.

        Raises:
            ValueError: the model was built without a memory or without a key encoder.
        """
        if self._memory is None or self._key_encoder is None:
            raise ValueError("update_memory needs a model with a memory and a key encoder")
        keys = self._key_encoder.encode(state_before)
        self._memory.record_exposures(keys.cpu().numpy(), [0] * len(keys), success.tolist())
        kinds = classify_failure(state_before, state_after, action)
        failed = [i for i, (kind, done) in enumerate(zip(kinds, success.tolist(), strict=True)) if not done]
        failed = [i for i in failed if kinds[i] != UNKNOWN]
        if not failed:
            return 0
        rows = torch.tensor(failed, device=action.device)
        kinds = [kinds[i] for i in failed]
        before, after = state_before.select(rows), state_after.select(rows)
        signatures = signatures_between(kinds, before, after)
        cases = failure_cases(
            keys=keys[rows].unsqueeze(1),
            chunk=action[rows],
            decided_on=before,
            first=before,
            kinds=kinds,
            phases=[str(Phase.CARRY)] * len(failed),
            signatures=signatures,
        )
        return sum(self._memory.add(cases).is_new)

    def _has_questions(self, query: Query) -> bool:
        # On a GPU nobody knows without waiting: there the search finds out who asks.
        return self.advisor is not None and not none_of(query.asking)

    def _memory_pathway(self, query: Query) -> Advice:
        if self.advisor is None:
            return Advice.nothing(query.observation.num_envs, str(query.noise.device))
        return self.advisor.advise(query.observation, query.asking, query.situation, query.felt)

    def _flow_pathway(self, query: Query, poll: Poll[Advice]) -> FlowAnswer[Advice]:
        percept = self._percept(query.observation, query.settled)
        state, base = self._base(percept, query.noise)
        retrieved = poll()
        fresh = None if retrieved is None else retrieved.answer
        advice = merge_advice(query.settled, fresh)
        candidate = advice.candidate.clamp(min=0)
        perceives = corrects_observation(candidate)
        steered = advice.given & (candidate > 0)
        follows = steered & corrects_chunks(candidate)
        see_anew = False
        if fresh is not None and fresh.needs.anything:
            # Waits for the device, but what the answers save costs more; the next decision knows them from here.
            anew = perceives & ~query.settled.given
            asked = torch.stack([anew, perceives, reroutes(candidate), follows])
            see_anew, *needed = asked.any(dim=1).tolist()
            advice = dataclasses.replace(advice, needs=Needs(*needed))
        if see_anew:
            # The whole batch again (as in steering): a row's bits must not depend on how many others are advised.
            percept = self._percept(query.observation, advice)
            state, base = self._base(percept, query.noise)
        if not advice.needs.steering and not self._constant and self._demonstrations is None:
            return self._away(query, state, FlowAnswer(base, steered, advice))
        corrected = base
        if advice.needs.steering:
            corrected = apply_correction(candidate, base, percept, reroute=advice.needs.reroute)
        strength = torch.where(follows, strength_of(advice.reliability), 0.0)
        for index in self._constant:
            everywhere = torch.full_like(candidate, index)
            corrected = apply_correction(everywhere, corrected, percept, reroute=CANDIDATES[index].reroutes)
            steered, strength = torch.ones_like(steered), torch.ones_like(strength)
        if self._demonstrations is not None:
            _, corrected = self._demonstrations(percept, query.noise)
            steered, strength = torch.ones_like(steered), torch.full_like(strength, self._demonstration_strength)
        if self._chunk_policy is not None:
            return FlowAnswer(torch.where(steered.reshape(-1, 1, 1), corrected, base), steered, advice)
        chunk = self._steering(self.flow, state, query.noise, corrected, strength, base)
        to = SteeredChunks(state, query.noise, chunk, strength > 0)
        return self._away(query, state, FlowAnswer(chunk, steered, advice, to))

    def _away(self, query: Query, state: torch.Tensor, answer: FlowAnswer[Advice]) -> FlowAnswer[Advice]:
        """``answer``, away from what failed where it follows no advice."""
        if self._failed_chunks is None or answer.advice is None:
            return answer
        failed, nearness = self._failed_chunks.near(query.observation)
        strength = torch.where(answer.advice.given, 0.0, strength_of(nearness))
        chunk = negative(self.flow, state, query.noise, failed, strength, answer.chunk)
        rows = strength > 0
        steered = rows if answer.steered is None else rows | answer.steered.rows
        to = SteeredChunks(state, query.noise, chunk, steered)
        return dataclasses.replace(answer, chunk=chunk, corrected=answer.corrected | rows, steered=to)

    def _percept(self, observation: Observation, advice: Advice) -> Observation:
        """What the policy is shown: ``observation``, corrected where ``advice`` or a constant says so."""
        percept = observation
        if advice.needs.percept:
            percept = apply_observation_correction(advice.candidate.clamp(min=0), observation)
        for index in (i for i in self._constant if CANDIDATES[i].corrects_observation):
            percept = apply_observation_correction(torch.full_like(advice.candidate, index), percept)
        return percept

    def _base(self, percept: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self._chunk_policy is not None:
            return self._chunk_policy(percept, noise)
        with torch.no_grad():
            state = self.encoder.encode(percept)
        return state, self.flow.generate(state, noise)
