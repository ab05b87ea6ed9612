"""Hand-made measurements as tables, complaints and a page."""

from __future__ import annotations

import dataclasses
import math

import pytest

from flow_rag_vla.benchmark.contacts.contact_docs import Contacts, holding_table, pressing_table, verdict, write_docs
from flow_rag_vla.benchmark.contacts.holding import Grip, Held, Holding, Trial
from flow_rag_vla.benchmark.contacts.opening import Opening
from flow_rag_vla.benchmark.contacts.pressing import Press

GRIP = Grip("cube", 0.5, 9.81)


def holding(*held: bool, first: float = 0.9) -> Holding:
    """Trials of 0.1 steps from ``first`` on."""
    trials = [Trial(GRIP, first + 0.1 * i) for i in range(len(held))]
    rows = [Held(t, h, True, True, 0.3, 0.2, 9.8, 9.0, 0.5) for t, h in zip(trials, held, strict=True)]
    return Holding(GRIP, tuple(rows))


PRESS = Press(
    place_m=(0.5, 0.0),
    touched=True,
    force_n=(30.0, 40.0, -130.0),
    point_m=(0.004, -0.03, -0.01),
    predicted_nm=(0.0, -61.0, 0.0, 5.0, 0.0, 10.8, 1.0),
    torques_nm=(0.0, -60.0, 0.0, 5.0, 0.0, 12.0, 1.0),
    limits_nm=(87.0,) * 4 + (12.0,) * 3,
    vertical_n=136.0,
    with_friction_n=200.0,
)
OPENING = Opening(least_mm=-0.4, most_mm=80.0, closed_mm=-0.4, open_mm=80.0)
GOOD = Contacts("newton_mujoco", (holding(True, True, False),), (PRESS,), OPENING)


def test_nothing_is_said_of_contacts_that_are_what_statics_says():
    assert verdict(GOOD) == []


def test_everything_that_falls_short_is_named():
    slips, weak = holding(True, False, first=0.7), dataclasses.replace(PRESS, predicted_nm=(0.0,) * 5 + (6.0, 0.0))
    lines = verdict(
        Contacts("newton_mjwarp", (slips, holding(True)), (weak,), dataclasses.replace(OPENING, least_mm=-8))
    )
    assert [line.split(": ")[0] for line in lines] == ["newton_mjwarp"] * 4
    assert "cube, friction 0.5, 9.81 N slips at 0.75 of what statics says" in lines[0]
    assert "no known threshold" in lines[1]
    assert "presses with 130 N, which takes most of joint 6, 50 %" in lines[2]
    assert "from -8.00 to 80.00 mm" in lines[3]


def test_trials_with_invalid_physics_are_named():
    good = holding(True, True, False)
    broken = Holding(GRIP, (*good.trials[:2], dataclasses.replace(good.trials[2], valid=False)))
    assert verdict(dataclasses.replace(GOOD, holding=(broken,))) == [
        "newton_mujoco: cube, friction 0.5, 9.81 N has invalid physics in 1 of 3 trials"
    ]


def test_pads_that_sink_in_too_deep_are_named():
    good = holding(True, True, False)
    deep = Holding(GRIP, (*good.trials[:2], dataclasses.replace(good.trials[2], depth_mm=2.3)))
    assert verdict(dataclasses.replace(GOOD, holding=(deep,))) == [
        "newton_mujoco: cube, friction 0.5, 9.81 N sinks in by 2.30 mm, expected at most 2 mm"
    ]


def test_a_force_must_take_all_that_one_joint_has():
    assert PRESS.meets_limits
    assert not dataclasses.replace(PRESS, touched=False).meets_limits
    for of_joint_6, takes_all in ((9.4, False), (9.7, True), (14.3, True), (14.5, False)):
        press = dataclasses.replace(PRESS, predicted_nm=(0.0, -61.0, 0.0, 5.0, 0.0, of_joint_6, 1.0))
        assert press.meets_limits is takes_all


def test_a_hand_that_does_not_reach_the_table_is_named():
    nowhere, nothing = (math.nan,) * 3, (math.nan,) * 7
    missed = dataclasses.replace(PRESS, touched=False, force_n=(0.0,) * 3, point_m=nowhere, predicted_nm=nothing)
    assert verdict(dataclasses.replace(GOOD, pressing=(missed,))) == [
        "newton_mujoco: at (0.5, 0.0) the hand does not touch the table"
    ]


def test_what_drives_exert_does_not_make_up_for_a_weak_force():
    # A hand that pushes against itself: its drives are at their limits, the table feels half.
    weak = dataclasses.replace(PRESS, predicted_nm=tuple(t / 2 for t in PRESS.predicted_nm))
    assert max(weak.utilisation) == pytest.approx(1.0)
    assert not weak.meets_limits


def test_drives_beyond_their_limits_are_named():
    strong = dataclasses.replace(PRESS, torques_nm=(0.0, -60.0, 0.0, 5.0, 0.0, 13.2, 1.0))
    assert strong.takes_all
    assert not strong.meets_limits
    assert verdict(dataclasses.replace(GOOD, pressing=(strong,))) == [
        "newton_mujoco: at (0.5, 0.0) a drive exerts more than its limit: joint 6, 110 %"
    ]


def test_a_table_of_pressing_shows_both_witnesses():
    table = pressing_table((PRESS,))
    assert "joint 6, 90 %" in table
    assert "joint 6, 100 %" in table
    assert "4, -30" in table
    assert "| 50 " in table


def test_pad_forces_and_creep_are_of_what_is_held_with_some_to_spare():
    with_some, with_none = holding_table((holding(True, True, False, first=0.7),)), holding_table(GOOD.holding)
    assert "9.80" in with_some
    assert "9.80" not in with_none


def test_a_section_replaces_that_of_its_own_engine_alone(tmp_path):
    page = tmp_path / "page.md"
    write_docs(dataclasses.replace(GOOD, physics="newton_mjwarp"), "another command", "newton 1", page)
    write_docs(GOOD, "a first command", "newton 1", page)
    write_docs(GOOD, "a second command", "newton 2", page)
    text = page.read_text()
    assert "another command" in text
    assert "a second command" in text
    assert "a first command" not in text
    assert text.index("## newton_mujoco") < text.index("## newton_mjwarp")
    assert text.count("# Contacts beside statics") == 1
