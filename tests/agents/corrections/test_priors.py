from __future__ import annotations

import pytest

from flow_rag_vla.agents.corrections.corrections import CANDIDATE_NAMES, CANDIDATES, candidate_index
from flow_rag_vla.agents.corrections.priors import SPARED, FailureSignature, candidate_priors, late_shares, spared
from flow_rag_vla.tasks.catalogue.registry import all_tasks
from flow_rag_vla.tasks.contract import FAILURE_TYPES, PHASES


def ranking(failure_type, phase, signature=None):
    prior = candidate_priors(failure_type, phase, signature)
    means = prior[:, 0] / prior.sum(axis=1)
    return [CANDIDATE_NAMES[i] for i in (-means).argsort(kind="stable")]


@pytest.mark.parametrize("failure_type", FAILURE_TYPES)
@pytest.mark.parametrize("phase", PHASES)
def test_priors_are_proper_beta_counts_for_every_failure(failure_type, phase):
    prior = candidate_priors(failure_type, phase)
    assert prior.shape == (len(CANDIDATES), 2)
    assert prior.dtype.name == "float32"
    assert (prior > 0).all()


def test_priors_express_the_guides_rules():
    assert ranking("grasp_failure", "lift")[0].startswith("grip_up")
    assert ranking("drop", "carry")[0].startswith("grip_up")
    assert ranking("collision", "carry")[0].startswith("lift")
    near, far = (ranking("collision", "carry", FailureSignature(beyond_x_m=x)) for x in (-0.1, 0.1))
    assert (near[1], far[1]) == ("detour_plus", "detour_minus")
    assert ranking("collision", "carry", FailureSignature(link_contact=True))[0] == "stay_low"
    assert ranking("timeout", "carry")[0] == "none"


def test_what_gives_way_while_closing_is_held_softly_first_unless_it_pulled():
    order = ranking("grasp_failure", "grasp")
    assert order[0].startswith("grip_down")
    assert order[3].startswith("grip_up")
    assert ranking("grasp_failure", "grasp", FailureSignature(load_n=3.0))[0].startswith("grip_up")


@pytest.mark.parametrize(("failure_type", "phase"), [("grasp_failure", "lift"), ("drop", "lift"), ("drop", "carry")])
def test_what_is_lost_on_its_way_gave_way_where_it_was_light_and_slid_where_it_was_heavy(failure_type, phase):
    assert ranking(failure_type, phase, FailureSignature(load_n=1.5))[0].startswith("grip_down")
    assert ranking(failure_type, phase, FailureSignature(load_n=6.0))[0].startswith("grip_up")


def test_one_failure_lets_the_next_candidate_pass():
    prior = candidate_priors("drop", "carry").astype(float)
    first, second = (CANDIDATE_NAMES.index(name) for name in ranking("drop", "carry")[:2])
    prior[first, 1] += 1
    means = prior[:, 0] / prior.sum(axis=1)
    assert means[second] > means[first]


def test_unknown_failures_are_refused():
    with pytest.raises(ValueError, match="melted"):
        candidate_priors("melted", "carry")


@pytest.mark.parametrize(
    ("side_y", "first", "second"), [(0.0, "plus", "minus"), (2e-5, "plus", "minus"), (-1e-5, "minus", "plus")]
)
def test_what_was_never_in_the_fingers_is_looked_for_on_the_side_where_it_was_touched(side_y, first, second):
    order = ranking("grasp_failure", "grasp", FailureSignature(missed=True, side_y=side_y))
    assert order[:2] == [f"object_{first}", f"object_{second}"]
    assert order[2].startswith("grip")


def test_a_grasp_that_gave_way_points_to_grip_before_position():
    order = ranking("grasp_failure", "grasp")
    assert order.index("grip_down_3") < order.index("object_plus") < order.index("object_minus")
    assert order.index("object_minus") < order.index("grip_up_1")


@pytest.mark.parametrize(
    ("offset_y_m", "first", "second"), [(0.05, "minus", "plus"), (-0.05, "plus", "minus"), (0.0, "plus", "minus")]
)
def test_what_rests_beside_its_goal_is_brought_to_the_other_side(offset_y_m, first, second):
    order = ranking("misalignment", "place", FailureSignature(offset_y_m=offset_y_m))
    assert order[:4] == [f"goal_{first}_half", f"goal_{first}", f"goal_{second}_half", f"goal_{second}"]


@pytest.mark.parametrize(("tilt", "first", "second"), [(-0.5, "plus", "minus"), (0.5, "minus", "plus")])
@pytest.mark.parametrize("failure_type", ["grasp_failure", "drop", "misalignment", "timeout"])
def test_an_elongated_object_that_swung_is_grasped_nearer_to_the_end_that_hung_down(failure_type, tilt, first, second):
    order = ranking(failure_type, "carry", FailureSignature(elongated=True, tilt=tilt))
    sides = [f"grasp_{first}", f"grasp_{second}"]
    assert order[:4] == [f"{side}_firm" for side in sides] + sides


@pytest.mark.parametrize("failure_type", ["grasp_failure", "drop"])
def test_an_elongated_object_that_kept_level_is_first_held_otherwise_then_elsewhere(failure_type):
    order = ranking(failure_type, "lift", FailureSignature(elongated=True, tilt=-0.02))
    assert order[0].startswith("grip")
    assert order[1:3] == ["grasp_plus", "grasp_minus"]


def test_compact_objects_are_never_grasped_elsewhere_first():
    for failure_type in FAILURE_TYPES:
        order = ranking(failure_type, "carry", FailureSignature(tilt=-0.9))
        assert order.index("none") < order.index("grasp_plus")


@pytest.mark.parametrize(
    ("name", "late", "on_table", "on_tower", "anywhere"),
    [
        ("goal_plus", 0.05, 0.005, 0.005, 0.005),
        ("goal_plus_half", 0.05, 0.99, 0.005, 0.005),
        ("object_minus", 0.85, 0.37, 0.21, 0.21),
        ("stay_low", 0.05, 0.995, 0.995, 0.02),
        ("grasp_plus", 0.2, 0.83, 0.83, 0.83),
        ("grasp_plus_firm", 0.2, 0.98, 0.98, 0.98),
        ("grip_up_4", 0.8, 0.995, 0.995, 0.995),
    ],
)
def test_what_is_left_of_a_correction_late_and_what_it_spares(name, late, on_table, on_tower, anywhere):
    index = candidate_index(name)
    assert late_shares()[index] == late
    assert [spared(task)[index] for task in ("pick_place", "stack", "lift")] == [on_table, on_tower, anywhere]


def test_what_corrections_spare_is_known_of_tasks_that_exist():
    assert set(SPARED) <= {task.slug for task in all_tasks()}
