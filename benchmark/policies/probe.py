"""The batch-1 probe: how long one robot's decisions really take, with real threads, arm beside arm.

One robot goes through episodes, in the same states for every arm: a third of the decisions before the object, the
others with the object in the hand, half way to the goal; nothing goes wrong.  The first decision asks the memory; so do
others as long as it knows nothing like their state.  Arms take turns decision by decision, so that a noisy machine is
noisy for all of them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import faiss
import numpy as np
import torch

from flow_rag_vla.agents.arms.registry import get_arm, reference_arm
from flow_rag_vla.agents.corrections.corrections import NOMINAL_CLEARANCE_M
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.recall.clock import RealClock
from flow_rag_vla.agents.vision.percept import VisualPercept
from flow_rag_vla.benchmark.scoring.statistics import tost_paired
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, LatencyEquivalence, Percentiles
from flow_rag_vla.tasks.contract import MAX_GRIP_FORCE_N, NOMINAL_GRIP

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.contract import Observation

WARM_UP, EPISODES = 1, 24
"""Episodes that are not timed, and that are."""
BUDGET_MS = 25.0
MARGIN_MS = 1.0


def probe_arms(
    arms: Sequence[str],
    policy: PolicyCheckpoint,
    memories: dict[str, FailureMemory],
    settings: ArmSettings,
    observations: Sequence[Observation],
    on_episode: Callable[[int], None],
    vision: VisionEncoder | None = None,
    *,
    decisions: int = 25,
) -> dict[str, ArmTiming]:
    """Latency of single decisions on ``observations`` (batch 1 each), one torch and one FAISS thread.

    Args:
        arms: Arms to probe; those without a model are left out.
        policy: The flow policy.
        memories: Arm to the memory that it consults.
        settings: Retrieval settings.
        observations: What episodes begin with, cycled through.
        on_episode: Called with the number of episodes done.
        vision: Looks at the observations' pictures as part of every decision.
        decisions: Of an episode.
    """
    threads, faiss_threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    device = str(observations[0].object_pos_b.device)
    models: dict[str, FlowRAGVLA] = {}
    try:
        for arm in (get_arm(name) for name in arms):
            if arm.has_policy:
                clock = RealClock(arm.retrieves_beside_flow, device)
                models[arm.name] = FlowRAGVLA.for_arm(
                    arm, policy, memories.get(arm.name), settings, device=device, clock=clock
                )
        execute = settings.agent.executed(policy.flow.horizon)
        robots = {
            arm: FleetAgent(
                model,
                RetrievalEncoder(device=device),
                num_envs=1,
                max_steps=decisions * execute,
                execute=execute,
                device=device,
                remembers=False,
            )
            for arm, model in models.items()
        }
        taken = {arm: np.zeros((EPISODES, decisions)) for arm in models}
        running = torch.ones(1, dtype=torch.bool, device=device)
        percept = None if vision is None else VisualPercept(vision, 1, device)
        for episode in range(-WARM_UP, EPISODES):
            before = observations[episode % len(observations)]
            holding = carried(before)
            for robot in robots.values():
                robot.reset([f"probe {episode}"], [0])
            for decision in range(decisions):
                observation = before if 3 * decision < decisions else holding
                for arm, robot in robots.items():
                    _finish(models.values(), device)
                    start = time.perf_counter()
                    seen = observation if percept is None else percept.look(observation)
                    # A robot's controller is no GPU: the decision is there when the chunk has left the device.
                    robot.decide(seen, running).cpu()
                    if episode >= 0:
                        taken[arm][episode, decision] = 1000.0 * (time.perf_counter() - start)
            on_episode(episode + WARM_UP + 1)
        return {arm: _with_rates(timing_of(arm, taken), arm, model) for arm, model in models.items()}
    finally:
        for model in models.values():
            model.processor.close()
        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(faiss_threads)


def carried(observation: Observation) -> Observation:
    """``observation`` (num_envs,) with the object in the closed hand, half way to the goal at carrying height."""
    o = observation
    place = 0.5 * (o.object_pos_b + o.goal_pos_b)
    place[:, 2] = o.goal_pos_b[:, 2] + NOMINAL_CLEARANCE_M
    action = torch.zeros_like(o.previous_action)
    action[:, 6] = -NOMINAL_GRIP
    return dataclasses.replace(
        o,
        ee_pos_b=place,
        ee_target_pos_b=place.clone(),
        object_pos_b=place.clone(),
        gripper_width_m=o.object_size_m[:, 1:2].clone(),
        grip_force_n=torch.full_like(o.grip_force_n, NOMINAL_GRIP * MAX_GRIP_FORCE_N),
        previous_action=action,
    )


def _finish(models: Iterable[FlowRAGVLA], device: str) -> None:
    """Let end what earlier decisions have begun, so that nobody else's is measured with it."""
    for model in models:
        model.processor.drain()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def timing_of(arm: str, taken: dict[str, np.ndarray]) -> ArmTiming:
    """What the clock says of ``arm``.

    Args:
        arm: One of ``taken``.
        taken: Arm to the times of its decisions (episodes, decisions), ms.
    """
    ms = taken[arm]
    equivalence, reference = None, reference_arm().name
    if arm != reference and reference in taken:
        test = tost_paired(ms.mean(axis=1), taken[reference].mean(axis=1), MARGIN_MS)
        if test is not None:
            equivalence = LatencyEquivalence(
                test.n, test.mean_difference, test.margin, test.p, test.ci90, test.equivalent
            )
    return ArmTiming(
        decision_latency_ms=_percentiles(ms),
        first_decision_ms=_percentiles(ms[:, 0]),
        deadline_miss_rate=float(np.mean(ms > BUDGET_MS)),
        avg_frequency_hz=1000.0 / float(ms.mean()),
        latency_equivalence=equivalence,
    )


def _with_rates(timing: ArmTiming, arm: str, model: FlowRAGVLA) -> ArmTiming:
    statistics, remembers = model.processor.get_statistics(), get_arm(arm).consults_memory
    return dataclasses.replace(
        timing,
        correction_rate=statistics.correction_rate if remembers else None,
        rag_timeout_rate=statistics.rag_timeout_rate if remembers else None,
        model_bytes=sum(p.numel() * p.element_size() for p in model.parameters()),
    )


def _percentiles(ms: np.ndarray) -> Percentiles:
    return Percentiles(*(float(p) for p in np.percentile(ms, [50, 95, 99])))
