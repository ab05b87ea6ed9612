"""What a grip holds, what the hand presses with and how far it opens, beside what statics and limits say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flow_rag_vla.benchmark.contacts.holding import NUM_STEPS, Grip, Holding, measure_holding, plan_holding
from flow_rag_vla.benchmark.contacts.opening import measure_opening
from flow_rag_vla.benchmark.contacts.pressing import Press, measure_pressing
from flow_rag_vla.tasks.facts.contact_parameters import DESCENT_LEAD_M

if TYPE_CHECKING:
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

pytestmark = pytest.mark.sim

RATIOS = (0.85, 1.15)
GRIPS = (Grip("cube", 0.2, 10.0), Grip("bar", 0.2, 10.0))
NEAR_AND_FAR = ((0.39, 0.0), (0.39, 0.25), (0.67, -0.25), (0.67, 0.0))


@pytest.fixture(scope="module")
def lift_fleet() -> Iterator[ManipulationEnv]:
    from flow_rag_vla.tasks.env.make import make_fleet

    env = make_fleet("lift", 4, physics="newton_mujoco", device="cpu", max_steps=NUM_STEPS + 1)
    yield env
    env.close()


@pytest.fixture(scope="module")
def holding(lift_fleet) -> list[Holding]:
    return measure_holding(lift_fleet, plan_holding(GRIPS, RATIOS))


@pytest.fixture(scope="module")
def pressing(lift_fleet) -> list[Press]:
    return measure_pressing(lift_fleet, NEAR_AND_FAR)


def test_a_grip_holds_less_than_statics_says_and_loses_more(holding):
    assert [h.grip for h in holding] == list(GRIPS)
    assert [[t.held for t in h.trials] for h in holding] == [[True, False]] * 2
    assert all(t.lifted and t.valid for h in holding for t in h.trials)


def test_pads_press_with_what_is_commanded_and_carry_the_weight(holding):
    for h in holding:
        (held,) = h.up_to(RATIOS[0])
        assert held.pad_force_n == pytest.approx(h.grip.force_n, rel=0.02)
        assert held.carried_n == pytest.approx(9.81 * held.trial.mass_kg, rel=0.02)


def test_what_is_held_hardly_creeps_and_pads_hardly_sink_in(holding):
    for h in holding:
        assert abs(h.up_to(RATIOS[0])[0].creep_mm_s) < 0.5
        assert max(t.depth_mm for t in h.trials) < 2.0


def test_the_hand_presses_with_what_the_joint_limits_give(pressing):
    for press in pressing:
        assert press.limits_nm == (87.0,) * 4 + (12.0,) * 3
        assert press.touched
        assert max(press.predicted_shares) == pytest.approx(1.0, abs=0.2)


def test_in_an_episode_the_hand_presses_with_less_than_its_joints_give(lift_fleet, pressing):
    assert lift_fleet.cfg.descent_lead_m == DESCENT_LEAD_M
    usual = measure_pressing(lift_fleet, NEAR_AND_FAR, descent_lead_m=DESCENT_LEAD_M)
    for limited, free in zip(usual, pressing, strict=True):
        assert 0.4 * free.pressed_n < limited.pressed_n < 0.8 * free.pressed_n


def test_drives_exert_what_the_contact_takes_and_no_more_than_their_limits(pressing):
    for press in pressing:
        assert press.keeps_limits
        # Side forces of two fingertips also turn the hand, of which their sum at one point knows nothing.
        assert press.torques_nm == pytest.approx(press.predicted_nm, abs=2.0)


def test_the_hand_presses_with_its_fingertips(pressing):
    for press in pressing:
        x, y, z = press.point_m
        assert (x**2 + y**2) ** 0.5 < 0.05
        assert abs(z) < 0.03


def test_a_hand_that_closes_on_nothing_neither_overlaps_nor_opens_too_far(lift_fleet):
    opening = measure_opening(lift_fleet)
    assert opening.stays_within_limits
    assert opening.closed_mm == pytest.approx(0.0, abs=1.0)
    assert opening.open_mm == pytest.approx(80.0, abs=1.0)
