from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from flow_rag_vla.agents.policy.encoders import RetrievalEncoder
from flow_rag_vla.agents.policy.features import (
    NUM_POLICY_FEATURES,
    NUM_RETRIEVAL_FEATURES,
    POLICY_FEATURE_BLOCKS,
    RETRIEVAL_GROUPS,
    observation_from_fields,
    policy_features,
    retrieval_features,
)
from flow_rag_vla.tasks.facts.workcell import workcell_tag


def block(features, name):
    start = 0
    for other, width in POLICY_FEATURE_BLOCKS:
        if other == name:
            return features[:, start : start + width]
        start += width
    raise KeyError(name)


def yawed(angle):
    return [0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2)]


def test_policy_features_have_the_documented_width_and_type(observe):
    features = policy_features(observe(3))
    assert features.shape == (3, NUM_POLICY_FEATURES)
    assert features.dtype == torch.float32


def test_policy_features_ignore_everything_that_tells_sites_apart(observe):
    plain = observe()
    other = dataclasses.replace(
        plain,
        object_rgb=torch.rand(1, 3),
        joint_pos=torch.rand(1, 7),
        joint_vel=torch.rand(1, 7),
        hand_force_b=torch.rand(1, 3),
        link_force_b=torch.rand(1, 3),
    )
    assert torch.equal(policy_features(plain), policy_features(other))


def test_offsets_are_divided_by_their_scale(observe):
    features = policy_features(observe(ee_pos_b=[0.5, 0.0, 0.2], object_pos_b=[0.7, 0.0, 0.2]))
    assert block(features, "ee_pos").tolist() == [[0.0, 0.0, 0.0]]
    assert block(features, "object_from_ee")[0, 0].item() == pytest.approx(1.0)
    assert block(features, "object_from_ee_fine")[0, 0].item() == pytest.approx(1.0)


def test_a_box_turned_by_a_quarter_looks_the_same(observe):
    quarter = block(policy_features(observe(object_quat_b=yawed(0.3 + math.pi / 2))), "object_yaw")
    torch.testing.assert_close(quarter, block(policy_features(observe(object_quat_b=yawed(0.3))), "object_yaw"))


def test_object_yaw_is_sine_and_cosine_of_four_times_the_angle(observe):
    found = block(policy_features(observe(object_quat_b=yawed(0.3))), "object_yaw")
    torch.testing.assert_close(found, torch.tensor([[math.sin(1.2), math.cos(1.2)]]))


def test_rotation_tracking_is_the_turn_from_hand_to_target(observe):
    # Quaternion product spin(0.1) * (1, 0, 0, 0).
    target = [math.cos(0.05), math.sin(0.05), 0.0, 0.0]
    found = block(policy_features(observe(ee_target_quat_b=target)), "ee_rotation_tracking")
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, math.sin(0.1) / 0.2]]))


def test_stored_fields_give_the_features_of_the_observation(observe):
    full = observe(4)
    names = (
        "ee_pos_b", "ee_quat_b", "ee_target_pos_b", "ee_target_quat_b", "gripper_width_m", "grip_force_n",
        "previous_action", "object_pos_b", "object_quat_b", "object_size_m", "goal_pos_b",
    )  # fmt: skip
    stored = observation_from_fields({name: getattr(full, name) for name in names})
    assert torch.equal(policy_features(stored), policy_features(full))
    assert torch.isnan(stored.object_rgb).all()


def test_an_unknown_stored_field_is_refused():
    with pytest.raises(KeyError, match="friction"):
        observation_from_fields({"friction": torch.zeros(1, 1)})


def test_retrieval_features_see_colour_and_grasp(observe, carry):
    assert sum(group.width for group in RETRIEVAL_GROUPS) == NUM_RETRIEVAL_FEATURES
    free, held = retrieval_features(observe()), retrieval_features(carry((0.5, -0.27, 0.025)))
    assert free.shape == (1, NUM_RETRIEVAL_FEATURES)
    assert free[0, :3].tolist() == pytest.approx([0.85, 0.15, 0.15])
    # Columns: colour 3, size 3, object xy 2, goal xy 2, width, closing, held, height, distance, tag of the work cell.
    assert free[0, 10:15].tolist() == pytest.approx([0.08, 0.0, 0.0, 0.10, 0.49])
    assert held[0, 10:15].tolist() == pytest.approx([0.05, 1.0, 1.0, 0.0, 0.49])


def test_what_happened_in_one_work_cell_says_nothing_of_another(observe):
    tags = [torch.tensor([workcell_tag(site)]) for site in (20_000_000, 20_000_000, 20_000_001)]
    here, again, there = (dataclasses.replace(observe(), workcell=tag) for tag in tags)
    keys = RetrievalEncoder().encode
    assert float(keys(here) @ keys(again).T) == pytest.approx(1.0, abs=1e-5)
    assert abs(float(keys(here) @ keys(there).T)) < 0.2
    features = [retrieval_features(o)[0] for o in (here, there)]
    assert float(RetrievalEncoder().kernel(features[0][None], features[1][None])) < 1e-3
    assert torch.equal(policy_features(here), policy_features(there))
