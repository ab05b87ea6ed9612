"""The detector that ships with the project: it loads, belongs to the policy, and its classifier knows a plain drop.

That it notices and names failures in the simulator: ``tests/simulation/test_failure_recording.py``.
"""

from __future__ import annotations

import pytest
import torch

from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR, load_detector
from flow_rag_vla.agents.detection.monitor import LearnedDetector
from flow_rag_vla.agents.detection.window import SCORE_EVERY
from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT
from flow_rag_vla.tasks.contract import PHASES


@pytest.fixture(scope="module")
def checkpoint():
    return load_detector(DEFAULT_DETECTOR)


def test_the_shipped_detector_can_alarm_in_every_phase(checkpoint):
    assert checkpoint.limits.levels.shape == (len(PHASES), 2)
    assert all(bool(torch.isfinite(part).all()) for part in vars(checkpoint.limits).values())
    assert checkpoint.training["command"].startswith("scripts/train_detector.py")


def carried(carry, observe, steps=48):
    """Over the table at an even pace, 12 cm up, squeezed with 10 N; the load hangs on the hand."""
    start = [observe()] * SCORE_EVERY
    path = [-0.27 + 0.3 * i / steps for i in range(steps)]
    heights = [min(0.145, 0.025 + 0.01 * i) for i in range(steps)]
    load = {"hand_force_b": [0.0, 0.0, -1.0]}
    return start + [carry((0.5, y, z), **load) for y, z in zip(path, heights, strict=True)]


def probability(checkpoint, observations):
    """Of a failure at the end, as the classifier has it: to the novelty score, hand-made motions are all odd."""
    watched = LearnedDetector(checkpoint, 1, max_steps=260)
    for o in observations:
        watched.update(o)
    return float(watched.probability)


def test_it_was_made_of_what_the_shipped_policy_did(checkpoint):
    recorded = checkpoint.training["recorded"]
    assert {origin["policy_sha256"] for origin in recorded} == {file_sha256(DEFAULT_CHECKPOINT)}
    assert {origin["split"] for origin in recorded} == {"train"}


def test_a_drop_makes_a_failure_likely(checkpoint, carry, observe):
    carrying = carried(carry, observe)
    before = probability(checkpoint, carrying)
    hand = {"ee_pos_b": [0.5, 0.05, 0.145], "previous_action": [0.0] * 6 + [-0.25], "gripper_width_m": [0.0]}
    fallen = observe(object_pos_b=[0.5, 0.04, 0.025], **hand)
    after = probability(checkpoint, carrying + [fallen] * 5 * SCORE_EVERY)
    assert before < 0.5 < after
