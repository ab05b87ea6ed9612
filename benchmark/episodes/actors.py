"""Whoever acts in a fleet, by arm: the scripted experts and the arms that need a trained policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.arm import Arm, Expert
from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, PolicyCheckpoint, load_checkpoint
from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank, bank_path
from flow_rag_vla.agents.recall.told_advice import ToldAdvice
from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder
from flow_rag_vla.agents.vision.asynchronous_percept import make_percept
from flow_rag_vla.agents.vision.checkpoint import DEFAULT_VISION, load_vision
from flow_rag_vla.agents.vision.sighted_agent import SightedAgent
from flow_rag_vla.benchmark.episodes.told.expert_arm import ExpertAgent
from flow_rag_vla.benchmark.episodes.told.oracle_arm import OracleAgent
from flow_rag_vla.tasks.catalogue.registry import get_task

if TYPE_CHECKING:
    from flow_rag_vla.agents.agent import Agent
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.policy.chunk_policy import ChunkPolicy
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.env.fleet import Fleet


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
    return policy.with_steps(ode_steps)


def load_bank(
    arms: Iterable[Arm], checkpoint: str, policy: PolicyCheckpoint, device: str = "cpu"
) -> DemonstrationBank | None:
    """The demonstrations beside the file that ``checkpoint`` names, for its ``policy``; None where no arm needs them.

    Raises:
        ValueError: the bank cannot be read, or its chunks have another length than the policy's.
    """
    if not any(arm.needs_demonstrations for arm in arms):
        return None
    path = checkpoint_path(checkpoint)
    bank = DemonstrationBank.load(bank_path(path), policy.encoder.instructions, device)
    if bank.horizon != policy.flow.horizon:
        raise ValueError(f"{bank_path(path)} has chunks of {bank.horizon} actions, {path} of {policy.flow.horizon}")
    return bank


def arm_settings(
    agent: AgentSettings,
    horizon: int,
    task: str,
    bank: DemonstrationBank | None = None,
    detector: DetectorCheckpoint | None = None,
) -> ArmSettings:
    """``agent`` with what a policy of ``horizon`` decides where it leaves that open, and the networks beside it.

    ``task`` is any name of the task that arms are built for.

    Raises:
        ValueError: ``agent.execute`` exceeds ``horizon``.
        UnknownNameError: an unknown task.
    """
    executing = replace(agent, execute=agent.executed(horizon))
    return ArmSettings(executing, bank, detector, task=get_task(task).slug)


def default_arm_settings(
    horizon: int, task: str, execute: int | None = None, bank: DemonstrationBank | None = None
) -> ArmSettings:
    """``arm_settings`` of the benchmark's default agent, but for ``execute`` where it is given."""
    return arm_settings(AgentSettings(execute=execute), horizon, task, bank)


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


def make_expert(arm: Arm, env: Fleet) -> ExpertAgent:
    """The expert ``arm`` for ``env``."""
    return ExpertAgent(env.num_envs, str(env.device), informed=arm.expert is Expert.INFORMED)


def make_policy_agent(
    arm: Arm,
    env: Fleet,
    policy: PolicyCheckpoint,
    settings: ArmSettings,
    memory: FailureMemory | None = None,
    *,
    remembers: bool = False,
    chunk_policy: ChunkPolicy | None = None,
    vision: VisionEncoder | None = None,
    looks_at_support: bool = False,
) -> Agent:
    """``arm`` for ``env``, seeing through ``vision``; it consults ``memory`` as it is now, and writes nothing to it.

    With ``looks_at_support`` its notes say how often steering leaves the flow's support.
    ``chunk_policy`` makes the chunks instead of ``policy``; errors as in ``FlowRAGVLA.for_arm``.
    """
    agent = FleetAgent.for_arm(
        arm,
        policy,
        None if memory is None else memory.frozen(),
        settings,
        num_envs=env.num_envs,
        max_steps=env.max_episode_length,
        device=str(env.device),
        remembers=remembers,
        chunk_policy=chunk_policy,
        looks_at_support=looks_at_support,
    )
    acting = agent if vision is None else SightedAgent(agent, make_percept(vision, env.num_envs, str(env.device)))
    advisor = agent.model.advisor
    return OracleAgent(acting, advisor, env.num_envs) if isinstance(advisor, ToldAdvice) else acting
