from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.policy.features import rotation_matrix
from flow_rag_vla.agents.vision.networks.sighting import HEADS, MIN_SPREAD, NUM_OUTPUTS, quat_of, sighting, yaw_rad
from flow_rag_vla.agents.vision.training import LABELS, is_round, labels_of, vision_loss


def turns(factor, yaw):
    return torch.tensor([[math.sin(factor * yaw), math.cos(factor * yaw)]])


def test_yaw_turns_the_x_axis_and_pitch_raises_it():
    rotation = rotation_matrix(quat_of(torch.tensor([0.4]), torch.tensor([0.5])))[0]
    flat = math.cos(math.asin(0.5))
    assert rotation[:, 0].tolist() == pytest.approx([flat * math.cos(0.4), flat * math.sin(0.4), 0.5], abs=1e-6)
    assert rotation[2, 1].item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("size", "expected"), [((0.14, 0.04, 0.04), 1.2), ((0.05, 0.05, 0.05), 1.2 - math.pi / 2)])
def test_yaw_is_known_up_to_the_symmetry_of_the_object(size, expected):
    yaw = yaw_rad(turns(4, 1.2), turns(2, 1.2), torch.tensor([size]))
    assert yaw.item() == pytest.approx(expected, abs=1e-5)


def stored(**changes):
    rows = {
        "object_pos_b": [0.5, -0.27, 0.025],
        "object_quat_b": [0.0, 0.0, math.sin(0.1), math.cos(0.1)],
        "object_size_m": [0.05, 0.05, 0.05],
        "object_rgb": [0.8, 0.1, 0.1],
        "goal_pos_b": [0.6, 0.2, 0.025],
        "camera_shift_m": [0.0, 0.0, 0.0],
    } | changes
    tensors = {name: torch.tensor([row]) for name, row in rows.items()}
    return tensors | {"goal_shown": torch.tensor([changes.pop("goal_shown", True)])}


def label(rows, name):
    width = dict(HEADS)
    parts = labels_of(rows).split([width[n] for n in LABELS], dim=1)
    return dict(zip(LABELS, parts, strict=True))[name][0]


def outputs_for(labels):
    """Network outputs that say exactly what ``labels`` (k,) say."""
    width, start, said = dict(HEADS), 0, {}
    for name in LABELS:
        said[name] = labels[start : start + width[name]]
        start += width[name]
    return torch.cat([said.get(name, torch.zeros(w)) for name, w in HEADS]).unsqueeze(0)


def test_outputs_that_equal_the_labels_give_back_what_was_stored():
    rows = stored()
    seen = sighting(outputs_for(labels_of(rows)[0]))
    assert seen.object_pos_b[0].tolist() == pytest.approx([0.5, -0.27, 0.025])
    assert seen.object_size_m[0].tolist() == pytest.approx([0.05] * 3)
    assert seen.object_rgb[0].tolist() == pytest.approx([0.8, 0.1, 0.1])
    assert seen.goal_xy_b[0].tolist() == pytest.approx([0.6, 0.2])
    assert yaw_rad(seen.yaw_4, seen.yaw_2, seen.object_size_m).item() == pytest.approx(0.2, abs=1e-5)


def test_a_displaced_camera_reports_things_where_they_are_not():
    plain, displaced = (label(stored(camera_shift_m=[x, 0.0, 0.0]), "object_pos") for x in (0.0, 0.02))
    assert (displaced - plain).tolist() == pytest.approx([-0.1, 0.0, 0.0], abs=1e-6)


def test_nothing_is_asked_that_cannot_be_seen():
    assert label(stored(goal_shown=False), "goal_xy").isnan().all()
    assert label(stored(), "yaw_2").isnan().all()
    assert label(stored(object_size_m=[0.14, 0.04, 0.04]), "yaw_2").isfinite().all()
    cylinder = stored(object_size_m=[0.048, 0.048, 0.06])
    assert label(cylinder, "yaw_4").isnan().all()
    lying = stored(object_quat_b=[math.sin(math.pi / 4), 0.0, 0.0, math.cos(math.pi / 4)])
    assert label(lying, "yaw_4").isnan().all()


def test_a_cube_is_not_taken_for_a_cylinder():
    assert is_round(torch.tensor([[0.048, 0.048, 0.06], [0.05, 0.05, 0.05], [0.045, 0.055, 0.06]])).tolist() == [
        True,
        False,
        False,
    ]


def test_unknown_labels_do_not_count_in_the_loss():
    labels = labels_of(stored(goal_shown=False))
    outputs = outputs_for(labels[0].nan_to_num())
    wrong_goal = outputs.clone()
    wrong_goal[:, -4:-2] += 5.0
    assert vision_loss(outputs, labels).item() == vision_loss(wrong_goal, labels).item()
    known = labels_of(stored())
    assert vision_loss(wrong_goal, known) > vision_loss(outputs, known) + 0.1


def pull(outputs, labels):
    """How strongly training would widen the spread of the position along x."""
    outputs.requires_grad_()
    (slope,) = torch.autograd.grad(vision_loss(outputs, labels), outputs)
    return -slope[0, 3].item()


def test_the_spread_of_a_position_is_drawn_to_its_mean_error():
    labels = labels_of(stored())
    pulls = []
    for claimed in (0.05, 0.1, 0.2):
        outputs = outputs_for(labels[0].nan_to_num())
        outputs[:, :3] += 0.1
        # What gives ``claimed`` through the soft limit.
        over = math.log(claimed) - MIN_SPREAD
        outputs[:, 3:6] = MIN_SPREAD + math.log(math.expm1(over))
        pulls.append(pull(outputs, labels))
    assert pulls[0] > 0.01
    assert pulls[1] == pytest.approx(0.0, abs=1e-5)
    assert pulls[2] < -0.01


def test_a_network_that_is_too_sure_is_still_pulled_back():
    labels = labels_of(stored())
    outputs = outputs_for(labels[0].nan_to_num())
    outputs[:, :3] += 0.1
    outputs[:, 3:6] = MIN_SPREAD - 2.0
    assert pull(outputs, labels) > 0.1


def test_a_sighting_is_split_from_as_many_outputs_as_the_heads_have():
    assert sum(width for _, width in HEADS) == NUM_OUTPUTS
    with pytest.raises(RuntimeError):
        sighting(torch.zeros(1, NUM_OUTPUTS + 1))
