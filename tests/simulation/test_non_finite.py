"""What is no number, in an action, a policy's output, a sensor or a state: its episode ends, the others stay bitwise.

Four environments in two runs, one with what is broken and one without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from flow_rag_vla.agents.agent import WrappedAgent
from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.benchmark.certification.label_audit import break_physics
from flow_rag_vla.benchmark.episodes.actors import default_arm_settings, make_policy_agent
from flow_rag_vla.benchmark.episodes.plan import make_plan
from flow_rag_vla.benchmark.episodes.records import Outcome
from flow_rag_vla.benchmark.episodes.rollout import BatchResult, run_batch
from flow_rag_vla.tasks.contract import INVALID_REASONS, OBSERVATION_WIDTHS, InvalidReason
from flow_rag_vla.tasks.env.play import PlayedStep, play
from flow_rag_vla.tasks.scenarios.sites import make_site

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import EpisodeTruth, Observation
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

pytestmark = pytest.mark.sim

FLEET = (4, 40)
STEPS = 12
NAN, INF = float("nan"), float("inf")


def scenarios():
    site = make_site(3, "pick_place")
    return [site.scenario(10_000_200 + i) for i in range(4)]


@dataclass
class Played:
    observations: list[Observation]
    """What was sensed after each step."""
    truth: EpisodeTruth
    explained: list[str | None]

    @property
    def reasons(self) -> list[str | None]:
        return [None if i < 0 else INVALID_REASONS[i] for i in self.truth.invalid_reason.tolist()]


def swing(step: int) -> torch.Tensor:
    """(4, 7) each arm on a way of its own."""
    way = torch.tensor([0.008, -0.006, -0.004, 0.0, 0.02, 0.05, -0.4])
    return way * torch.tensor([1.0, -1.0, 0.5, -0.7]).unsqueeze(1) * (1.0 if step % 8 < 4 else -1.0)


def played(fleet: ManipulationEnv, sabotage: Callable[[int, torch.Tensor], torch.Tensor | None]) -> Played:
    """``STEPS`` control steps, whose actions ``sabotage`` changes."""
    fleet.load(scenarios(), [0] * 4)
    observations: list[Observation] = []

    def act(observation: Observation, step: int, running: torch.Tensor) -> torch.Tensor:
        del observation, running
        action = swing(step)
        changed = sabotage(step, action)
        return action if changed is None else changed

    def keep(step: PlayedStep) -> None:
        observations.append(step.observation.clone())

    play(fleet, act, after_step=keep, num_steps=STEPS)
    return Played(observations, fleet.truth, fleet.explain_invalid())


@pytest.fixture(scope="module")
def whole(fleet: ManipulationEnv) -> Played:
    return played(fleet, lambda step, action: None)


def assert_rows_are_bitwise_the_same(run: Played, whole: Played, rows: list[int]) -> None:
    for step, (seen, expected) in enumerate(zip(run.observations, whole.observations, strict=True)):
        for name in OBSERVATION_WIDTHS:
            assert torch.equal(getattr(seen, name)[rows], getattr(expected, name)[rows]), (step, name)
    for name, column in vars(run.truth).items():
        assert torch.equal(column[rows], vars(whole.truth)[name][rows]), name


def assert_all_that_is_shown_is_finite(run: Played) -> None:
    for seen in run.observations:
        assert all(getattr(seen, name).isfinite().all() for name in OBSERVATION_WIDTHS)


def test_actions_that_are_no_numbers_end_their_episodes_before_they_are_carried_out(fleet, whole):
    def sabotage(step: int, action: torch.Tensor) -> None:
        if step == 3:
            action[1, 2] = NAN
        if step == 5:
            action[2, 6] = -INF

    run = played(fleet, sabotage)
    assert run.reasons == [None, "non_finite_action", "non_finite_action", None]
    assert run.truth.steps.tolist() == [STEPS, 3, 5, STEPS]
    assert run.truth.failure_type.tolist() == [-1] * 4
    assert run.explained[1] == run.explained[2] != run.explained[0]
    assert "the policy's output had NaN or infinity" in str(run.explained[1])
    assert_rows_are_bitwise_the_same(run, whole, [0, 3])
    assert_all_that_is_shown_is_finite(run)


def test_a_sensor_that_reads_no_number_ends_its_episode_and_shows_what_it_last_read(fleet, whole):
    def sabotage(step: int, action: torch.Tensor) -> None:
        del action
        if step == 2:
            fleet._noise._table[3, 5:, 0] = NAN

    run = played(fleet, sabotage)
    assert run.reasons == [None, None, None, "non_finite_observation"]
    assert run.truth.steps.tolist() == [STEPS, STEPS, STEPS, 5]
    assert "a sensor read NaN" in str(run.explained[3])
    assert_rows_are_bitwise_the_same(run, whole, [0, 1, 2])
    assert_all_that_is_shown_is_finite(run)
    assert torch.equal(run.observations[4].hand_force_b[3], whole.observations[3].hand_force_b[3])


def test_a_state_that_is_no_number_ends_its_episode_and_shows_the_last_that_was(fleet, whole):
    def sabotage(step: int, action: torch.Tensor) -> None:
        del action
        if step == 4:
            break_physics(fleet, torch.tensor([0]), InvalidReason.NON_FINITE_STATE)

    run = played(fleet, sabotage)
    assert run.reasons == ["non_finite_state", None, None, None]
    assert_rows_are_bitwise_the_same(run, whole, [1, 2, 3])
    assert_all_that_is_shown_is_finite(run)


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_actions_of_other_number_types_leave_observations_in_float32(fleet, dtype):
    whole = played(fleet, lambda step, action: action.to(dtype).float())
    run = played(fleet, lambda step, action: action.to(dtype))
    assert {getattr(seen, name).dtype for seen in run.observations for name in OBSERVATION_WIDTHS} == {torch.float32}
    assert_rows_are_bitwise_the_same(run, whole, [0, 1, 2, 3])


def test_actions_of_another_shape_are_refused_before_anything_moves(fleet):
    before = fleet.load(scenarios(), [0] * 4).clone()
    with pytest.raises(
        ValueError, match=r"^actions have shape \(4, 6\); expected a tensor of numbers of shape \(4, 7\)"
    ):
        fleet.step(torch.zeros(4, 6))
    assert torch.equal(fleet.observe().joint_pos, before.joint_pos)
    assert fleet.truth.steps.tolist() == [0] * 4


class BrokenOutput(WrappedAgent):
    """The second environment's third chunk has an entry that is no number, in an action that would never be played."""

    def reset(self, noise_keys, attempts) -> None:
        self._decisions = 0
        super().reset(noise_keys, attempts)

    def decide(self, observation: Observation, running: torch.Tensor) -> torch.Tensor:
        chunk = super().decide(observation, running)
        self._decisions += 1
        if self._decisions == 3:
            chunk = chunk.clone()
            chunk[1, -1, 0] = NAN
        return chunk


def run_policy(fleet: ManipulationEnv, broken: bool) -> BatchResult:
    """A batch of the flow alone, which notices failures as if for a memory."""
    policy = load_checkpoint(DEFAULT_CHECKPOINT)
    settings = default_arm_settings(policy.flow.horizon, fleet.task.slug)
    unit = make_plan(scenarios(), ("flow_only",), fleet.num_envs, 1).units[0]
    agent = make_policy_agent(get_arm("flow_only"), fleet, policy, settings, remembers=True)
    return run_batch(fleet, BrokenOutput(agent) if broken else agent, unit, unit.episodes, 0.0)


def test_a_policy_whose_output_is_no_number_in_one_environment_leaves_the_records_of_the_others(fleet):
    whole, run = run_policy(fleet, broken=False), run_policy(fleet, broken=True)
    assert [record.outcome for record in run.records].count(Outcome.INVALID) == 1
    assert run.records[1].outcome == "invalid"
    assert "the policy's output had NaN" in str(run.records[1].invalid_reason)
    assert [run.records[i] for i in (0, 2, 3)] == [whole.records[i] for i in (0, 2, 3)]
    assert run.records[1].scenario_id not in run.failures
