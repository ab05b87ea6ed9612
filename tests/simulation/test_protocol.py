"""Arms in the simulator: what must be bitwise equal, and that a whole run is reproducible."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.arms.settings import ArmSettings
from flow_rag_vla.agents.fleet_agent import FleetAgent
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.episodes.actors import default_arm_settings, load_bank
from flow_rag_vla.benchmark.episodes.episode_log import read_episodes
from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
from flow_rag_vla.benchmark.episodes.plan import Plan, Unit, make_plan
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.units import UnitContext, run_unit
from flow_rag_vla.benchmark.workers.barriers import Barriers
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

pytestmark = pytest.mark.sim

TASK = "FlowRAG-PickPlace-Franka"
ARMS = (
    "flow_only", "sequential", "parallel", "parallel_shuffled", "parallel_wrong_type", "rag_only", "success_memory",
    "zero", "parallel_oracle", "expert",
)  # fmt: skip
FLEET = (18, 200)
"""A unit is one batch, since steps are what costs; an episode is long enough to succeed in, and for every failure."""

ANSWERS = {
    "goal_bias_minus": "goal_plus_half", "goal_bias_plus": "goal_minus_half",
    "pose_bias_minus": "object_plus", "pose_bias_plus": "object_minus",
    "slippery_object": "grip_up_4", "crushable_object": "grip_down_3",
}  # fmt: skip
"""Faults that leave no doubt about what corrects them, with the correction that is tried first."""


REFLEXES_FOLLOW = ("grasp_failure", "misalignment")
"""What the policy would feel where a hand that stands on the object rises, and where one lets go later."""


@pytest.fixture(scope="module")
def policy() -> PolicyCheckpoint:
    """The checkpoint that ships with the project."""
    return load_checkpoint(DEFAULT_CHECKPOINT)


@pytest.fixture(scope="module")
def settings(policy: PolicyCheckpoint) -> ArmSettings:
    """The benchmark's defaults."""
    return default_arm_settings(
        policy.flow.horizon, TASK, bank=load_bank([get_arm(name) for name in ARMS], "default", policy)
    )


@pytest.fixture(scope="module")
def plan(fleet) -> Plan:
    """Each avoidable fault of the site once, and a clean scenario, on development seeds."""
    site = make_site(3, TASK)
    faults = [*site.avoidable_faults, None]
    scenarios = [site.scenario(10_000_100 + i, faults[i]) for i in range(len(faults))]
    return make_plan(scenarios, ARMS, fleet.num_envs, 1)


@pytest.fixture(scope="module")
def run(fleet, policy, settings, plan, tmp_path_factory) -> RunDirectory:
    """E1 and one E2 round of every arm."""
    directory = RunDirectory(tmp_path_factory.mktemp("run"))
    directory.start(BenchmarkSettings(), plan, [], {})
    context = context_in(directory, plan, fleet, policy, settings)
    for unit in plan.units:
        run_unit(context, unit, lambda done: None)
    context.barriers.merge_done(lambda unit: not directory.why_not_done(unit))
    return directory


def context_in(directory: RunDirectory, plan: Plan, fleet, policy, settings) -> UnitContext:
    barriers = Barriers(directory.path, plan.units, lambda source: new_memory(settings, policy.flow.horizon, source))
    return UnitContext(directory, barriers, fleet, policy, settings, LatencyProfile({}))


def records_of(directory: RunDirectory, unit: Unit) -> list[EpisodeRecord]:
    return read_episodes(directory.unit(unit) / "episodes.jsonl").records


def _outcomes(directory: RunDirectory, plan: Plan, arm: str) -> list[EpisodeRecord]:
    unit = next(u for u in plan.units if u.arm == arm and u.round == 1)
    return [dataclasses.replace(r, arm="") for r in records_of(directory, unit)]


def test_what_memory_advises_is_what_happens_in_sequential_and_parallel_alike_without_latency(run, plan):
    sequential, parallel, alone = (_outcomes(run, plan, arm) for arm in ("sequential", "parallel", "flow_only"))
    assert sequential == parallel
    pairs = list(zip(parallel, alone, strict=True))
    assert any(record.candidate for record in parallel)
    assert all(own != without for own, without in pairs if own.candidate)
    # Where nothing is advised, only a reflex can make a difference.
    assert all(
        without.agent_failure_type in REFLEXES_FOLLOW for own, without in pairs if own != without and not own.candidate
    )


def test_every_arm_starts_every_scenario_from_the_same_state(run, plan):
    starts: dict[str, set[str]] = {}
    for unit in plan.units:
        for record in records_of(run, unit):
            starts.setdefault(record.scenario_id, set()).add(record.initial_state_sha)
    assert all(len(hashes) == 1 for hashes in starts.values())
    assert len({next(iter(h)) for h in starts.values()}) == len(starts)


def test_every_planned_episode_is_recorded_once(run, plan):
    for unit in plan.units:
        records = records_of(run, unit)
        assert [r.scenario_id for r in records] == [e.scenario.id for e in unit.episodes]
        assert not run.why_not_done(unit)


def test_memory_arms_start_from_what_e1_remembered(fleet, policy, settings, run, plan):
    parallel = next(u for u in plan.units if u.arm == "parallel")
    barriers = context_in(run, plan, fleet, policy, settings).barriers
    source = barriers.before(parallel)
    assert source == run.path / "memories/r0-flow_only/failures.sqlite"
    assert read_json_object(run.path / "memories/r0-flow_only/MERGED.json")["entries"] > 0
    assert barriers.before(plan.units[0]) is None


def test_a_remembered_failure_is_answered_by_its_own_correction_and_in_the_placebo_by_anothers(run, plan):
    noticed = {r.scenario_id: r.agent_failure_type for r in records_of(run, plan.units[0])}
    assert set(ANSWERS) <= {s.fault for s in plan.scenarios}
    arms = ("parallel", "parallel_shuffled")
    both = list(zip(*(_outcomes(run, plan, arm) for arm in arms), strict=True))
    for answered, shuffled in both:
        if answered.fault in ANSWERS and answered.exposure in ("exact", "near"):
            assert answered.retrieved_type == noticed[answered.base_scenario_id]
            assert answered.candidate == ANSWERS[answered.fault]
            assert shuffled.candidate is not None
    # A permutation may leave a case in its place, not most of them.
    pairs = [(a.candidate, b.candidate) for a, b in both if a.candidate and b.candidate]
    assert sum(a != b for a, b in pairs) > len(pairs) / 2


def test_a_placebo_of_the_wrong_type_answers_the_same_failures_with_corrections_of_others(run, plan):
    noticed = {r.scenario_id: r.agent_failure_type for r in records_of(run, plan.units[0])}
    answered, wrong = (_outcomes(run, plan, arm) for arm in ("parallel", "parallel_wrong_type"))
    told = [(w, noticed[w.base_scenario_id]) for a, w in zip(answered, wrong, strict=True) if a.candidate]
    assert sum(w.candidate is not None for w, _ in told) > len(told) / 2
    assert all(w.retrieved_type != own for w, own in told if w.retrieved_type)


def test_who_is_told_the_correction_solves_what_it_belongs_to_and_else_does_as_the_flow_bit_by_bit(run, plan):
    told, alone = (_outcomes(run, plan, arm) for arm in ("parallel_oracle", "flow_only"))
    assert [record.candidate is not None for record in told] == [r.fault_class == "avoidable" for r in told]
    assert [t for t in told if t.candidate is None] == [a for a in alone if a.fault_class != "avoidable"]
    assert all(record.succeeded for record in told if ANSWERS.get(record.fault, "").startswith(("goal", "grip_up")))


def test_doing_nothing_solves_nothing(run, plan):
    assert not any(record.succeeded for record in _outcomes(run, plan, "zero"))


def test_a_memory_of_successes_steers_every_episode_and_remembers_nothing(run, plan):
    steered, alone = (_outcomes(run, plan, arm) for arm in ("success_memory", "flow_only"))
    assert all(a != b for a, b in zip(steered, alone, strict=True))
    assert not any(record.retrieved_type or record.candidate for record in steered)
    assert not (run.path / "memories/r1-success_memory").exists()


def test_with_an_empty_memory_parallel_is_flow_only_bit_by_bit_where_no_reflex_acts(
    fleet: ManipulationEnv, policy, settings, plan, run
):
    first = plan.units[0]
    memory = new_memory(settings, policy.flow.horizon).frozen()
    agent = FleetAgent.for_arm(
        get_arm("parallel"), policy, memory, settings, num_envs=fleet.num_envs, max_steps=fleet.max_episode_length
    )
    records = run_batch(fleet, agent, first, first.episodes, 0.0).records
    pairs = zip(records, records_of(run, first), strict=True)
    differs = [alone.agent_failure_type for own, alone in pairs if own != alone]
    assert 0 < len(differs) < len(records) - 1
    assert set(differs) <= set(REFLEXES_FOLLOW)


def test_the_same_unit_twice_writes_the_same_bytes(fleet, policy, settings, plan, run, tmp_path: Path):
    again = RunDirectory(tmp_path)
    again.start(BenchmarkSettings(), plan, [], {})
    context = context_in(again, plan, fleet, policy, settings)
    parallel = next(u for u in plan.units if u.arm == "parallel")
    for unit in (plan.units[0], parallel):
        run_unit(context, unit, lambda done: None)
        first, second = (d.unit(unit) / "episodes.jsonl" for d in (run, again))
        assert first.read_bytes() == second.read_bytes()
        context.barriers.merge_done(lambda unit: not again.why_not_done(unit))
        memories = [d.path / f"memories/r{unit.round}-{unit.arm}/failures.sqlite" for d in (run, again)]
        assert memories[0].read_bytes() == memories[1].read_bytes()
    assert json.loads((run.unit(parallel) / "DONE.json").read_text())["episodes"] == len(parallel.episodes)
