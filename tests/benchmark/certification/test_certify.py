"""Certifying without physics: what is planned, how batches are filled, and what the counts of a world known say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from flow_rag_vla.benchmark.certification import certify as module
from flow_rag_vla.benchmark.certification.certify import (
    INFORMED,
    NOMINAL,
    STRATEGIES,
    Trial,
    certify,
    plan_trials,
    run_trials,
    strategy_plan,
)
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.catalogue.task import Task
from flow_rag_vla.tasks.contract import EpisodeTruth, FaultClass
from flow_rag_vla.tasks.expert.scripted_expert import ExpertPlan, informed_plan
from flow_rag_vla.tasks.facts.contact_parameters import DESCENT_LEAD_M, NUM_SUBSTEPS
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.scenario import Scenario
from flow_rag_vla.tasks.scenarios.sites import make_site

type Ends = Callable[[Scenario, ExpertPlan], tuple[bool, bool]]
"""How an episode ends in a made-up world: (success, invalid), from its scenario and the one row of its plan."""

DEPTH_M = {"post": 0.0005, "beam": 0.0031}
"""How deep the pads sink in that world, by fault."""


@dataclass
class Fleet:
    """A fleet of which only the size, the place and the task are asked."""

    num_envs: int
    task: Task
    device: str = "cpu"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ends], list[list[Scenario]]]:
    """``world(ends)`` replaces the simulator by ``ends``; the list that it gives fills with the batches that ran."""

    def replace(ends: Ends) -> list[list[Scenario]]:
        batches: list[list[Scenario]] = []

        def run(env: Fleet, scenarios: Sequence[Scenario], plan: ExpertPlan, on_step: object) -> EpisodeTruth:
            assert len(scenarios) == env.num_envs == len(plan.grip)
            batches.append(list(scenarios))
            rows = [ends(s, row_of(plan, i)) for i, s in enumerate(scenarios)]
            success, invalid = (torch.tensor(column) for column in zip(*rows, strict=True))
            none, zeros = torch.full((env.num_envs,), -1), torch.zeros(env.num_envs)
            return EpisodeTruth(
                done=torch.ones_like(success), success=success, invalid=invalid, invalid_reason=none,
                fault_fired=~success, failure_type=none, failure_phase=none, failure_step=none,
                failure_pos_b=torch.zeros(env.num_envs, 3), steps=none, peak_obstacle_force_n=zeros,
                peak_grip_force_n=zeros,
                penetration_m=torch.tensor([DEPTH_M.get(s.fault, 0.0) for s in scenarios]),
                peak_penetration_m=torch.tensor([2 * DEPTH_M.get(s.fault, 0.0) for s in scenarios]),
            )  # fmt: skip

        monkeypatch.setattr(module, "run_expert", run)
        return batches

    return replace


def row_of(plan: ExpertPlan, i: int) -> ExpertPlan:
    return type(plan)(**{name: value[i : i + 1] for name, value in vars(plan).items()})


def same(plan: ExpertPlan, other: ExpertPlan) -> bool:
    return all(torch.equal(value, getattr(other, name)) for name, value in vars(plan).items())


def test_every_cell_strategy_and_severity_is_planned_as_often_as_asked_for():
    planned = Counter(trial.key for trial in plan_trials("pick_place", 5, 3, 2))
    for fault in all_faults("pick_place"):
        avoidable = fault.fault_class is FaultClass.AVOIDABLE
        expected = {("dose", fault.name, severity): 3 for severity in fault.ladder}
        if avoidable:
            expected |= {("cell", fault.name, str(actor)): 5 for actor in (NOMINAL, INFORMED)}
            expected |= {("grid", fault.name, strategy): 2 for strategy in STRATEGIES if strategy != NOMINAL}
        assert {key: n for key, n in planned.items() if key[1] == fault.name} == expected


def test_doses_are_met_at_their_severity_and_cells_at_the_default_one():
    by_name = {str(actor): actor for actor in (NOMINAL, INFORMED)}
    for trial in plan_trials("pick_place", 2, 2, 1):
        fault = get_fault(trial.key[1])
        severity = trial.key[2] if trial.key[0] == "dose" else fault.default_severity
        assert (trial.scenario.fault, trial.scenario.severity) == (fault.name, severity)
        assert trial.actor == {"dose": NOMINAL, "cell": by_name.get(trial.key[2]), "grid": trial.key[2]}[trial.key[0]]


def test_every_trial_runs_once_in_its_place_and_padding_is_counted_for_nobody(world):
    site = make_site(10_000_000, "pick_place")
    scenarios = [site.scenario(10_000_000 + i, get_fault("post")) for i in range(5)]
    trials = [Trial(("cell", "post", i), s, NOMINAL) for i, s in enumerate(scenarios)]
    # The second breaks, though it would have succeeded; the fifth succeeds.
    batches = world(lambda s, plan: (s in (scenarios[1], scenarios[4]), s == scenarios[1]))
    ended: list[int] = []
    found = list(run_trials(Fleet(3, get_task("pick_place")), trials, ended.append))  # pyright: ignore[reportArgumentType]
    assert [end.trial for end in found] == trials
    assert [end.outcome for end in found] == ["failure", "invalid", "failure", "failure", "success"]
    assert [end.penetration_mm for end in found] == pytest.approx([0.5] * 5)
    assert batches == [scenarios[:3], [*scenarios[3:], scenarios[3]]]
    assert ended == [3, 5]


def test_each_actor_follows_its_own_plan_beside_the_others(world):
    task, post = get_task("pick_place"), get_fault("post")
    scenario = make_site(10_000_000, "pick_place").scenario(10_000_000, post)
    firm_high = next(s for s in STRATEGIES if str(s) == "firm grip, high, straight")
    followed: list[ExpertPlan] = []
    world(lambda s, plan: (followed.append(plan) is None, False))
    trials = [Trial(("cell", "post", i), scenario, actor) for i, actor in enumerate((firm_high, INFORMED, NOMINAL))]
    list(run_trials(Fleet(3, task), trials, lambda n: None))  # pyright: ignore[reportArgumentType]
    expected = [strategy_plan([firm_high], task), informed_plan([scenario]), strategy_plan([NOMINAL], task)]
    assert [same(found, wanted) for found, wanted in zip(followed, expected, strict=True)] == [True] * 3
    assert not same(expected[0], expected[1])


def test_the_certificate_counts_what_happened(world):
    """In this world only who is told of a post gets past it, a firm grip holds slippery objects, and beams break it."""
    task = get_task("pick_place")
    sizes = {"n": 40, "dose_n": 10, "grid_n": 2, "time_step_n": 0}
    firm = strategy_plan([next(s for s in STRATEGIES if s.grip == "firm")], task).grip

    def ends(scenario: Scenario, plan: ExpertPlan) -> tuple[bool, bool]:
        told = scenario.fault == "post" and same(plan, informed_plan([scenario]))
        held = scenario.fault == "slippery_object" and torch.equal(plan.grip, firm)
        return told or held, scenario.fault == "beam"

    world(ends)
    met = ("post", "beam", "slippery_object", "forced_release")
    trials = [trial for trial in plan_trials("pick_place", 40, 10, 2) if trial.key[1] in met]
    ended = run_trials(Fleet(512, task), trials, lambda n: None)  # pyright: ignore[reportArgumentType]
    certificate = certify(task, "made_up", ended, sizes)
    assert (certificate["task"], certificate["physics"]) == (task.name, "made_up")
    assert {name: certificate[name] for name in sizes} == sizes
    rows = certificate["faults"]
    assert set(rows) == {fault.name for fault in all_faults("pick_place")}

    def counts(row: dict[str, Any]) -> tuple[int, int, int]:
        return row["k"], row["n"], row["invalid"]

    post, beam = rows["post"], rows["beam"]
    depths = [rows[name]["nominal"]["penetration_mm"] for name in met[:3]]
    assert depths == [0.5, 3.1, 0.0]
    assert [rows[name]["informed"]["peak_penetration_mm"] for name in met[:3]] == [1.0, 6.2, 0.0]
    assert certificate["versions"]["mujoco"]
    assert certificate["contacts"]["num_substeps"] == NUM_SUBSTEPS
    assert certificate["motion"]["descent_lead"] == DESCENT_LEAD_M
    assert (counts(post["nominal"]), counts(post["informed"]), post["certified"]) == ((0, 40, 0), (40, 40, 0), True)
    assert (counts(beam["nominal"]), counts(beam["informed"]), beam["certified"]) == ((0, 40, 40), (0, 40, 40), False)
    # A dose counts failures: all of them at every severity, which is no gradation; none where the physics broke.
    assert {counts(dose) for dose in post["dose"]} == {(10, 10, 0)}
    assert {counts(dose) for dose in beam["dose"]} == {(0, 10, 10)}
    assert [dose["severity"] for dose in post["dose"]] == list(get_fault("post").ladder)
    assert not post["graded"]
    assert {name: row["certified"] for name, row in rows.items() if name not in met[:3] and row["certified"]} == {}
    assert rows["forced_release"]["certified"] is None
    habits = certificate["constant_strategies"]
    assert {name for name, solved in habits.items() if solved} == {str(s) for s in STRATEGIES if s.grip == "firm"}
    assert {tuple(solved) for solved in habits.values()} == {(), ("slippery_object",)}
    assert "slippery_object" in certificate["worst_site"]["faults"]


def test_without_severities_and_strategies_nothing_is_said_of_them(world):
    task = get_task("pick_place")
    world(lambda s, plan: (False, False))
    sizes = {"n": 1, "dose_n": 0, "grid_n": 0, "time_step_n": 0}
    trials = plan_trials("pick_place", 1, 0, 0)
    ends = run_trials(Fleet(64, task), trials, lambda n: None)  # pyright: ignore[reportArgumentType]
    certificate = certify(task, "made_up", ends, sizes)
    assert certificate["worst_site"] is None
    assert {(row["graded"], tuple(row["dose"])) for row in certificate["faults"].values()} == {(None, ())}
