"""The batch-1 probe: how long one robot's decision really takes, with real threads, arm beside arm.

Arms take turns within every repetition, so that a noisy machine is noisy for all of them.
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
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA, Query
from flow_rag_vla.agents.recall.advice import Advice
from flow_rag_vla.agents.recall.clock import RealClock
from flow_rag_vla.agents.vision.percept import VisualPercept
from flow_rag_vla.benchmark.scoring.statistics import tost_paired
from flow_rag_vla.benchmark.scoring.timing import ArmTiming, LatencyEquivalence, Percentiles

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.memory.failure_memory import FailureMemory
    from flow_rag_vla.tasks.contract import Observation

WARM_UP, REPETITIONS = 20, 200
BUDGET_MS = 25.0
MARGIN_MS = 1.0


def probe_arms(
    arms: Sequence[str],
    policy: PolicyCheckpoint,
    memories: dict[str, FailureMemory],
    settings: ArmSettings,
    observations: Sequence[Observation],
    on_step: Callable[[int], None],
    vision: VisionEncoder | None = None,
) -> dict[str, ArmTiming]:
    """Latency of single decisions on ``observations`` (batch 1 each), one torch and one FAISS thread.

    Args:
        arms: Arms to probe; those without a model are left out.
        policy: The flow policy.
        memories: Arm to the memory that it consults.
        settings: Retrieval settings.
        observations: Cycled through; where they are, arms decide.
        on_step: Called with the number of repetitions done.
        vision: Looks at the observations' pictures as part of every decision.
    """
    threads, faiss_threads = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    models: dict[str, FlowRAGVLA] = {}
    device = str(observations[0].object_pos_b.device)
    try:
        for arm in (get_arm(name) for name in arms):
            if arm.has_policy:
                clock = RealClock(arm.retrieves_beside_flow, device)
                models[arm.name] = FlowRAGVLA.for_arm(
                    arm, policy, memories.get(arm.name), settings, device=device, clock=clock
                )
        taken: dict[str, list[float]] = {arm: [] for arm in models}
        rng = torch.Generator().manual_seed(0)
        percept = None if vision is None else VisualPercept(vision, 1, device)
        for i in range(WARM_UP + REPETITIONS):
            observation = observations[i % len(observations)]
            noise = policy.flow.noise(1, rng)
            for arm, model in models.items():
                query = Query(observation, noise, Advice.nothing(1, device))
                _finish(models.values(), device)
                start = time.perf_counter()
                if percept is not None:
                    query = dataclasses.replace(query, observation=percept.look(observation))
                # A robot's controller is no GPU: the decision is there when the chunk has left the device.
                model.decide(query).chunk.cpu()
                if i >= WARM_UP:
                    taken[arm].append(1000.0 * (time.perf_counter() - start))
            on_step(i + 1)
        return {arm: _timing(arm, model, taken) for arm, model in models.items()}
    finally:
        for model in models.values():
            model.processor.close()
        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(faiss_threads)


def _finish(models: Iterable[FlowRAGVLA], device: str) -> None:
    """Let end what earlier decisions have begun, so that nobody else's is measured with it."""
    for model in models:
        model.processor.drain()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _timing(arm: str, model: FlowRAGVLA, taken: dict[str, list[float]]) -> ArmTiming:
    ms = np.array(taken[arm])
    p50, p95, p99 = (float(p) for p in np.percentile(ms, [50, 95, 99]))
    statistics = model.processor.get_statistics()
    equivalence = None
    reference, remembers = reference_arm().name, get_arm(arm).consults_memory
    if arm != reference and reference in taken:
        test = tost_paired(taken[arm], taken[reference], MARGIN_MS)
        if test is not None:
            equivalence = LatencyEquivalence(
                test.n, test.mean_difference, test.margin, test.p, test.ci90, test.equivalent
            )
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    return ArmTiming(
        decision_latency_ms=Percentiles(p50, p95, p99),
        deadline_miss_rate=float(np.mean(ms > BUDGET_MS)),
        avg_frequency_hz=1000.0 / float(ms.mean()),
        correction_rate=statistics.correction_rate if remembers else None,
        rag_timeout_rate=statistics.rag_timeout_rate if remembers else None,
        model_bytes=parameters,
        latency_equivalence=equivalence,
    )
