"""Every task in the simulator with every fault and class side by side: the expert, told the truth and not told.

What is hidden stays hidden: the first observation of every scenario is held beside that of its harmless twin.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch

from flow_rag_vla.benchmark.certification.certificate import load_certificate
from flow_rag_vla.tasks.catalogue.registry import all_tasks
from flow_rag_vla.tasks.contract import FAILURE_TYPES, FaultClass
from flow_rag_vla.tasks.expert.expert_rollout import run_expert
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, informed_plan
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv
    from flow_rag_vla.tasks.scenarios.scenario import Scenario

pytestmark = pytest.mark.sim

DEVELOPMENT_SEED = 10_000_000
TYPES_OF_FAMILY = {"grasp": {"grasp_failure"}, "drop": {"drop", "grasp_failure"}}
"""What slips before it is 4 cm up is a failed grasp by definition, also where it is too heavy to be carried."""


EPISODES_OF_CHANCY_FAULTS = 3
"""Where the certified rates are not all 1 (tasks/faults/CERTIFICATE.md; the least is 92 %), or some episodes are
invalid, one of three episodes may go the other way; a single one would make the test depend on the site, and on the
rounding of the machine's cores."""


@dataclass(frozen=True)
class FirstLook:
    """What is sensed of a scenario before anything has happened."""

    scenario: Scenario
    object_pos_b: tuple[float, ...]
    changed: set[str]
    """Fields of the observation that differ from those without the scenario's hidden parameters."""


@dataclass(frozen=True)
class Outcome:
    """All kinds of scenarios of a task, met by both experts."""

    scenarios: list[Scenario]
    chancy: set[str]
    """Faults that are met ``EPISODES_OF_CHANCY_FAULTS`` times."""
    first_looks: list[FirstLook]
    """Of each scenario, and of each fault at its severest."""
    nominal: dict[str, torch.Tensor]
    informed: dict[str, torch.Tensor]

    def rows(self, fault_class: FaultClass) -> list[int]:
        return [i for i, s in enumerate(self.scenarios) if s.fault_class is fault_class]

    def faults_where(self, rows: list[int], mask: torch.Tensor) -> list[str]:
        return [self.scenarios[i].fault for i in rows if bool(mask[i])]

    def avoidable_where(self, mask: torch.Tensor) -> list[str]:
        """Avoidable faults with more episodes in ``mask`` than chance explains."""
        found = Counter(self.faults_where(self.rows(FaultClass.AVOIDABLE), mask))
        return [name for name, n in found.items() if n > (name in self.chancy)]


@pytest.fixture(scope="module", params=[task.slug for task in all_tasks()])
def outcome(request: pytest.FixtureRequest) -> Iterator[Outcome]:
    """One batch: first half nominal, second half informed."""
    from flow_rag_vla.tasks.env.make import make_fleet

    faults = all_faults(request.param)
    chancy = _chancy(request.param)
    again = [(f, None) for f in faults if f.name in chancy] * (EPISODES_OF_CHANCY_FAULTS - 1)
    kinds = [(None, None), *((f, None) for f in faults), *((f, FaultClass.CONTROL) for f in faults), *again]
    site = make_site(3, request.param)
    scenarios = [site.scenario(DEVELOPMENT_SEED + i, *kind) for i, kind in enumerate(kinds)]
    half = len(scenarios)
    env = make_fleet(request.param, 2 * half, physics="newton_mujoco", device="cpu", max_steps=260)
    severest = [site.scenario(DEVELOPMENT_SEED + i, f, severity=f.ladder[-1]) for i, f in enumerate(faults)]
    looks = _first_looks(env, [*scenarios, *severest])
    plan = ExpertPlan.nominal(2 * half, task=env.task)
    truth = run_expert(
        env, scenarios + scenarios, plan.replace_rows(torch.arange(half, 2 * half), informed_plan(scenarios))
    )
    yield Outcome(
        scenarios,
        chancy,
        looks,
        {name: value[:half] for name, value in vars(truth).items()},
        {name: value[half:] for name, value in vars(truth).items()},
    )
    env.close()


def _chancy(task: str) -> set[str]:
    """Avoidable faults that the nominal expert may solve, the informed one may not, or with invalid episodes."""
    certificate = load_certificate(task, "newton_mujoco")
    assert certificate is not None
    return {
        name
        for name, row in certificate["faults"].items()
        if row["fault_class"] == FaultClass.AVOIDABLE
        and (row["nominal"]["k"] > 0 or row["informed"]["k"] < row["informed"]["n"] or _invalid(row))
    }


def _invalid(row: dict[str, Any]) -> int:
    """Certified episodes of either expert that physics does not allow."""
    return sum(row[expert]["invalid"] for expert in ("nominal", "informed") if expert in row)


def _first_looks(env: ManipulationEnv, scenarios: list[Scenario]) -> list[FirstLook]:
    padded = [*scenarios, *[scenarios[0]] * (env.num_envs - len(scenarios))]
    # An episode before: nothing of it may be left in the first observation of the next.
    env.load(padded[::-1], [0] * env.num_envs)
    for _ in range(5):
        env.step(torch.full((env.num_envs, 7), 0.01))
    with_hazards = env.load(padded, [0] * env.num_envs).clone()
    without = env.load([dataclasses.replace(s, parameters={}) for s in padded], [0] * env.num_envs)
    assert with_hazards.instruction == without.instruction
    names = [f.name for f in dataclasses.fields(without) if f.name not in ("instruction", "rgb")]
    differs = {n: (getattr(with_hazards, n) != getattr(without, n)).any(dim=1).tolist() for n in names}
    starts = with_hazards.object_pos_b.tolist()
    return [
        FirstLook(s, tuple(starts[i]), {name for name in names if differs[name][i]}) for i, s in enumerate(scenarios)
    ]


def test_the_expert_told_the_truth_succeeds_wherever_success_is_possible(outcome):
    harmless = outcome.rows(FaultClass.CLEAN) + outcome.rows(FaultClass.CONTROL)
    assert outcome.faults_where(harmless, ~outcome.informed["success"]) == []
    assert outcome.avoidable_where(~outcome.informed["success"]) == []


def test_the_nominal_expert_fails_on_every_avoidable_fault(outcome):
    assert outcome.avoidable_where(outcome.nominal["success"]) == []


def test_the_nominal_expert_succeeds_on_clean_and_control_scenarios(outcome):
    harmless = outcome.rows(FaultClass.CLEAN) + outcome.rows(FaultClass.CONTROL)
    assert outcome.faults_where(harmless, ~outcome.nominal["success"]) == []


def test_the_first_causal_event_names_the_family_of_the_fault(outcome, permitted_channels):
    for i in outcome.rows(FaultClass.AVOIDABLE):
        if bool(outcome.nominal["success"][i]) or bool(outcome.nominal["invalid"][i]):
            continue
        fault = get_fault(outcome.scenarios[i].fault)
        kind = FAILURE_TYPES[int(outcome.nominal["failure_type"][i])]
        expected = TYPES_OF_FAMILY.get(fault.family, {fault.family})
        if "object_pos_b" in permitted_channels(fault):
            # A hand that rests lightly on the object neither presses nor closes: the time runs out.
            expected = {*expected, "timeout"}
        assert kind in expected, fault.name


def test_faults_fire_where_they_act_and_nothing_fires_on_clean_scenarios(outcome):
    hazardous = outcome.rows(FaultClass.AVOIDABLE) + outcome.rows(FaultClass.EXOGENOUS)
    silent = ~outcome.nominal["fault_fired"] & ~outcome.nominal["invalid"]
    assert outcome.faults_where(hazardous, silent) == []
    assert not outcome.nominal["fault_fired"][outcome.rows(FaultClass.CLEAN)].any()


def test_hidden_parameters_change_what_the_fault_may_bias_in_the_first_observation_and_nothing_else(
    outcome, permitted_channels
):
    for look in outcome.first_looks:
        name = look.scenario.fault
        permitted = set() if name == "none" else permitted_channels(get_fault(name))
        assert look.changed == permitted, look.scenario


def test_different_scenes_do_look_different(outcome):
    looks = {look.scenario.layout_seed: look.object_pos_b for look in outcome.first_looks}
    assert len(set(looks.values())) == len(looks) > len(all_faults(outcome.scenarios[0].task))


def test_the_physics_holds_but_for_one_episode_of_a_cell_that_is_certified_with_invalid_ones(outcome):
    certificate = load_certificate(outcome.scenarios[0].task, "newton_mujoco")
    assert certificate is not None
    known = {name for name, row in certificate["faults"].items() if _invalid(row)}
    broken = outcome.nominal["invalid"] | outcome.informed["invalid"]
    found = Counter(outcome.scenarios[i].fault for i in broken.nonzero().flatten().tolist())
    assert set(found) <= known
    assert max(found.values(), default=0) <= 1
