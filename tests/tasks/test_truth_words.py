"""What the simulator knows of an episode, in words."""

from __future__ import annotations

import math

import torch

from flow_rag_vla.tasks.contract import FAILURE_TYPES, INVALID_REASONS, PHASES, EpisodeTruth, TruthWords

TRUTH = EpisodeTruth(
    done=torch.tensor([True, False, True]),
    success=torch.tensor([True, False, False]),
    invalid=torch.tensor([False, False, True]),
    invalid_reason=torch.tensor([-1, -1, INVALID_REASONS.index("runaway_speed")]),
    fault_fired=torch.tensor([True, False, False]),
    failure_type=torch.tensor([FAILURE_TYPES.index("drop"), -1, -1]),
    failure_phase=torch.tensor([PHASES.index("carry"), -1, -1]),
    failure_step=torch.tensor([40, -1, -1]),
    failure_pos_b=torch.tensor([[0.5, -0.25, 0.125], [0.0] * 3, [0.0] * 3]),
    steps=torch.tensor([90, 12, 30]),
    peak_obstacle_force_n=torch.tensor([0.0, 1.5, math.nan]),
    peak_grip_force_n=torch.tensor([10.0, 2.5, math.inf]),
    penetration_m=torch.tensor([0.0625, 0.0, math.nan]),
    peak_penetration_m=torch.tensor([0.125, 0.0, math.nan]),
)


def test_a_recovered_drop_is_told_beside_the_success():
    assert TRUTH.rows()[0] == TruthWords(
        success=True,
        invalid=False,
        invalid_reason=None,
        fault_fired=True,
        failure_type="drop",
        failure_phase="carry",
        failure_step=40,
        failure_pos_b=(0.5, -0.25, 0.125),
        steps=90,
        peak_obstacle_force_n=0.0,
        peak_grip_force_n=10.0,
        penetration_m=0.0625,
        peak_penetration_m=0.125,
    )


def test_where_nothing_has_happened_there_is_no_word():
    words = TRUTH.rows()[1]
    assert (words.failure_type, words.failure_phase, words.failure_step, words.invalid_reason) == (None,) * 4
    assert (words.success, words.invalid, words.fault_fired) == (False,) * 3


def test_broken_physics_is_named_and_its_forces_are_what_they_are():
    words = TRUTH.rows()[2]
    assert words.invalid
    assert words.invalid_reason == "runaway_speed"
    assert math.isnan(words.peak_obstacle_force_n)
    assert words.peak_grip_force_n == math.inf


def test_words_are_plain_text_as_files_need_them():
    assert type(TRUTH.rows()[0].failure_type) is str
    assert type(TRUTH.rows()[2].invalid_reason) is str
