"""Plays what a memory learns from and what asks it, and compares keys: is what they find about the hazard at hand?

Truth (the hazard, and the type of the failure) scores what was found; no agent is told any of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY
from flow_rag_vla.agents.arms.settings import AgentSettings
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.flow_rag_vla import FlowRAGVLA
from flow_rag_vla.agents.policy.encoders import RetrievalEncoder, RetrievalEncoderCfg
from flow_rag_vla.benchmark.command.progress import Progress
from flow_rag_vla.benchmark.episodes.actors import arm_settings, load_policy
from flow_rag_vla.benchmark.episodes.plan import Unit, e2_episodes, first_attempts, plan_scenarios
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.rollout import run_batches
from flow_rag_vla.benchmark.episodes.seeds import first_site
from flow_rag_vla.benchmark.policies.retrieval.compared_keys import CUE, POLICY, PRESENT, Asked, compared
from flow_rag_vla.benchmark.policies.retrieval.precision import UNKNOWN, Cases, Queries
from flow_rag_vla.benchmark.policies.retrieval.several_keys import KeysWhenAsked, SeveralKeys
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FAILURE_TYPES, MAX_STEPS, FaultClass, words_at
from flow_rag_vla.tasks.env.make import make_fleet, resolve_device
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from typing import TextIO

    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode
    from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
    from flow_rag_vla.benchmark.policies.retrieval.compared_keys import KeyTable
    from flow_rag_vla.memory.case import Float32Array
    from flow_rag_vla.tasks.env.fleet import Fleet
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

SPLIT = "development"

CUE_GROUPS = ("object_rgb", "object_size_m", "workcell")
"""Of the present key: what tells hazards and sites apart and the policy does not see, or hardly."""

ANYTHING = 1.0e6
"""A length scale beyond which nothing lies: the group does not count."""


@dataclass(frozen=True)
class RetrievalRequest:
    """What is played: E1 of ``scenarios`` at ``sites`` of a development seed, and then what asks."""

    task: str
    checkpoint: str
    sites: int
    scenarios: int
    num_envs: int
    seed: int
    physics: str
    device: str


def measure_retrieval(request: RetrievalRequest, console: TextIO) -> KeyTable:
    """Fill a memory by E1, ask it on NEAR, FAR, CONTROL and CLEAN episodes, and score what each key finds.

    NEAR is E1's avoidable hazards displaced; the others are on layouts that E1 has not met.  ``flow_only`` acts.

    Raises:
        ValueError: too few scenarios or layouts, or a checkpoint or preset that cannot be used.
        UnknownNameError: an unknown task.
    """
    device = resolve_device(request.device)
    policy = load_policy(request.checkpoint, get_task(request.task).name, device)
    first = first_site(SPLIT, request.seed)
    sites = [make_site(first + i, request.task) for i in range(request.sites)]
    met, new = (plan_scenarios(sites, request.scenarios, request.seed, SPLIT, visit) for visit in range(2))
    asking = asking_episodes(met, new)
    encoder = key_encoder(policy, device)
    agent_settings = AgentSettings()
    fleet = make_fleet(
        request.task, request.num_envs, physics=request.physics, device=request.device, max_steps=MAX_STEPS
    )
    with closing(fleet) as env, Progress(len(met) + len(asking), "episodes", console) as progress:
        agent = _listening(env, policy, encoder, agent_settings)
        cases = _remembered(env, agent, encoder, first_attempts(met), progress)
        asked = _asked(env, agent, encoder, asking, progress)
    return compared(cases, asked, agent_settings.num_neighbours, agent_settings.similarity_threshold)


def asking_episodes(met: Sequence[Scenario], new: Sequence[Scenario]) -> list[PlannedEpisode]:
    """NEAR of the avoidable hazards ``met``, and FAR, CONTROL and CLEAN of ``new``, the same on new layouts."""
    avoidable = [i for i, scenario in enumerate(met) if scenario.fault_class is FaultClass.AVOIDABLE]
    (near,) = e2_episodes([met[i] for i in avoidable], 1, (Exposure.NEAR,))
    visit = [new[i] for i in avoidable]
    (far,) = e2_episodes([met[i] for i in avoidable], 1, (Exposure.FAR,), [visit])
    harmless = [s for s in new if s.fault_class in {FaultClass.CONTROL, FaultClass.CLEAN}]
    (rest,) = e2_episodes(harmless, 1, (Exposure.CONTROL, Exposure.CLEAN))
    return [*near, *far, *rest]


def key_encoder(policy: PolicyCheckpoint, device: str) -> SeveralKeys:
    """The present key, the policy's embedding of what it sees, and of the present key the cue alone."""
    scales = RetrievalEncoderCfg().length_scales
    cue = {name: scale if name in CUE_GROUPS else ANYTHING for name, scale in scales.items()}
    return SeveralKeys(
        {
            PRESENT: RetrievalEncoder(device=device),
            POLICY: policy.encoder,
            CUE: RetrievalEncoder(RetrievalEncoderCfg(length_scales=cue), device),
        }
    )


def _listening(env: Fleet, policy: PolicyCheckpoint, encoder: SeveralKeys, agent: AgentSettings) -> KeysWhenAsked:
    settings = arm_settings(agent, policy.flow.horizon, env.task.slug)
    device = str(env.device)
    # Not by make_policy_agent, whose agents keep failures under the memory's key alone.
    acting = FleetAgent(
        FlowRAGVLA.for_arm(FLOW_ONLY, policy, None, settings, device=device),
        encoder,
        num_envs=env.num_envs,
        max_steps=env.max_episode_length,
        execute=settings.agent.executed(policy.flow.horizon),
        device=device,
    )
    return KeysWhenAsked(acting, encoder)


def _remembered(
    env: Fleet, agent: KeysWhenAsked, encoder: SeveralKeys, episodes: Sequence[PlannedEpisode], progress: Progress
) -> dict[str, Cases]:
    """By key, the failures noticed."""
    keys: list[Float32Array] = []
    hazards: list[str] = []
    types: list[str] = []
    unit = Unit(FLOW_ONLY.name, 0, env.num_envs, tuple(episodes))
    before = progress.done
    of_scenario = {episode.scenario.id: episode.scenario for episode in episodes}
    for result in run_batches(env, agent, unit, 0.0, lambda ended: progress.update(before + ended, "E1")):
        for scenario_id, case in result.failures.items():
            scenario = of_scenario[scenario_id]
            keys.append(case.key_states)
            hazards.append(scenario.fault if scenario.fault_class is FaultClass.AVOIDABLE else UNKNOWN)
            types.append(case.failure_type)
    if not keys:
        raise ValueError(f"E1 of {len(episodes)} scenarios left no failure to remember")
    apart = encoder.apart(np.stack(keys))
    return {name: Cases(part, np.array(hazards), np.array(types)) for name, part in apart.items()}


def _asked(
    env: Fleet, agent: KeysWhenAsked, encoder: SeveralKeys, episodes: Sequence[PlannedEpisode], progress: Progress
) -> Asked:
    """What the agent would have asked, in the order of ``episodes``; without those whose physics broke."""
    unit = Unit(FLOW_ONLY.name, 1, env.num_envs, tuple(episodes))
    records: list[EpisodeRecord] = []
    first: list[Float32Array] = []
    later: list[Float32Array] = []
    felt: list[str] = []
    before = progress.done
    for result in run_batches(env, agent, unit, 0.0, lambda ended: progress.update(before + ended, "asking")):
        at_first, at_alarm, alarmed = agent.asked()
        kinds = words_at(FAILURE_TYPES, agent.notes().failure_type.tolist())
        for i, record in enumerate(result.records):
            if record.valid:
                records.append(record)
                first.append(at_first[i])
                later.append(at_alarm[i])
                felt.append(kinds[i] or UNKNOWN if alarmed[i] else UNKNOWN)

    def queries(keys: Mapping[str, Float32Array]) -> dict[str, Queries]:
        hazards = np.array([r.fault if r.exposure is not Exposure.CLEAN else UNKNOWN for r in records])
        types = np.array([r.failure_type or UNKNOWN for r in records])
        nothing_felt = np.full(len(records), UNKNOWN)
        return {name: Queries(part, hazards, types, nothing_felt) for name, part in keys.items()}

    return Asked(
        np.array([str(r.exposure) for r in records]),
        queries(encoder.apart(np.stack(first))),
        queries(encoder.apart(np.stack(later))),
        np.array(felt),
    )
