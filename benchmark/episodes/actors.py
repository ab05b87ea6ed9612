"""Whoever acts in a fleet, by arm name: the scripted experts and the arms that need a trained policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms import (
    DEFAULT_CHECKPOINT,
    DEMONSTRATION_ARMS,
    MODEL_ARMS,
    ArmSettings,
    bank_of,
    build_agent,
)
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint, load_checkpoint
from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank
from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder
from flow_rag_vla.agents.vision.asynchronous_percept import make_percept
from flow_rag_vla.agents.vision.checkpoint import DEFAULT_VISION, load_vision
from flow_rag_vla.agents.vision.sighted_agent import SightedAgent
from flow_rag_vla.benchmark.episodes.agent_settings import AgentSettings
from flow_rag_vla.benchmark.episodes.expert_arm import ExpertAgent

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.policy.chunk_policy import ChunkPolicy
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

EXPERTS: tuple[str, ...] = ("expert", "nominal_expert")
"""The scripted expert, told every hazard or none."""

ACTORS: tuple[str, ...] = (*EXPERTS, *MODEL_ARMS)


def checkpoint_path(checkpoint: str) -> Path:
    """The file that ``checkpoint`` names; ``default`` is the one that ships with the project."""
    return DEFAULT_CHECKPOINT if checkpoint == "default" else Path(checkpoint)


def load_policy(checkpoint: str, task: str, device: str = "cpu", ode_steps: int | None = None) -> PolicyCheckpoint:
    """The policy that ``checkpoint`` names, for ``task`` (a gym id), with ``ode_steps`` solver steps where given.

    Raises:
        ValueError: the checkpoint cannot be read, or does not know the task.
    """
    path = checkpoint_path(checkpoint)
    policy = load_checkpoint(path, device)
    policy.require_task(task, path)
    return policy if ode_steps is None else policy.with_ode_steps(ode_steps)


def load_bank(
    arms: Sequence[str], checkpoint: str, policy: PolicyCheckpoint, device: str = "cpu"
) -> DemonstrationBank | None:
    """The demonstrations beside the file that ``checkpoint`` names, for its ``policy``; None where no arm needs them.

    Raises:
        ValueError: the bank cannot be read, or its chunks have another length than the policy's.
    """
    if not set(arms) & set(DEMONSTRATION_ARMS):
        return None
    path = checkpoint_path(checkpoint)
    bank = DemonstrationBank.load(bank_of(path), policy.encoder.instructions, device)
    if bank.horizon != policy.flow.horizon:
        raise ValueError(f"{bank_of(path)} has chunks of {bank.horizon} actions, {path} of {policy.flow.horizon}")
    return bank


def arm_settings(
    agent: AgentSettings,
    horizon: int,
    bank: DemonstrationBank | None = None,
    detector: DetectorCheckpoint | None = None,
) -> ArmSettings:
    """What ``agent`` means for a policy of ``horizon``, with the networks beside it.

    Raises:
        ValueError: ``agent.execute`` exceeds ``horizon``.
    """
    return ArmSettings(
        execute=agent.executed(horizon),
        num_neighbours=agent.num_neighbours,
        similarity_threshold=agent.similarity_threshold,
        confidence_gate=agent.confidence_gate,
        max_cases=agent.max_cases,
        bank=bank,
        detector=detector,
    )


def default_arm_settings(
    horizon: int, execute: int | None = None, bank: DemonstrationBank | None = None
) -> ArmSettings:
    """``arm_settings`` of the benchmark's default agent, but for ``execute`` where it is given."""
    return arm_settings(AgentSettings(execute=execute), horizon, bank)


def vision_path(vision: str) -> Path:
    """The file that ``vision`` names; ``default`` is the one that ships with the project."""
    return DEFAULT_VISION if vision == "default" else Path(vision)


def vision_encoder(obs: str, vision: str, device: str = "cpu") -> VisionEncoder | None:
    """The network that agents see with where ``obs`` is ``rgb``; ``default`` is the one that ships with the project.

    Raises:
        ValueError: the checkpoint is not readable.
    """
    if obs != "rgb":
        return None
    return load_vision(vision_path(vision), device).encoder


@contextmanager
def open_vision(
    obs: str, vision: str, device: str = "cpu", *, asynchronous: bool = False
) -> Iterator[VisionEncoder | None]:
    """``vision_encoder``, in a worker thread that ends with the context if ``asynchronous``.

    Errors of the worker on a picture that nobody waited for are raised at the end.
    """
    with opened(vision_encoder(obs, vision, device), asynchronous=asynchronous) as encoder:
        yield encoder


@contextmanager
def opened(encoder: VisionEncoder | None, *, asynchronous: bool) -> Iterator[VisionEncoder | None]:
    """``encoder``, in a worker thread that ends with the context if ``asynchronous``; errors as in ``open_vision``."""
    if encoder is None or not asynchronous:
        yield encoder
        return
    with AsynchronousEncoder(encoder) as worker:
        yield worker


def make_expert(arm: str, env: ManipulationEnv, scenarios: Sequence[Scenario]) -> ExpertAgent:
    """The expert ``arm`` for one wave of ``scenarios``."""
    expert = ExpertAgent(env.num_envs, str(env.device), informed=arm == "expert")
    expert.tell(scenarios, env.num_envs)
    return expert


def make_policy_agent(
    arm: str,
    env: ManipulationEnv,
    policy: PolicyCheckpoint,
    settings: ArmSettings,
    memory: FailureMemory | None = None,
    *,
    remembers: bool = False,
    chunk_policy: ChunkPolicy | None = None,
    vision: VisionEncoder | None = None,
) -> Agent:
    """``arm`` for ``env``, seeing through ``vision``; it consults ``memory`` as it is now, and writes nothing to it.

    ``chunk_policy`` makes the chunks of ``flow_only`` instead of ``policy``; errors as in ``build_model``.
    """
    agent = build_agent(
        arm,
        policy,
        None if memory is None else memory.frozen(),
        settings,
        num_envs=env.num_envs,
        max_steps=env.max_episode_length,
        device=str(env.device),
        remembers=remembers,
        chunk_policy=chunk_policy,
    )
    if vision is None:
        return agent
    return SightedAgent(agent, make_percept(vision, env.num_envs, str(env.device)))
