"""The study of time steps: what it plans, and when an episode ends alike."""

from __future__ import annotations

import math

import pytest

from flow_rag_vla.benchmark.certification.certify import INFORMED, NOMINAL, Ended, Trial, plan_trials
from flow_rag_vla.benchmark.certification.time_steps import agreement, plan_study


def test_the_study_begins_with_the_episodes_of_the_certificate():
    cells = [t for t in plan_trials("lift", 4, 0, 0) if t.key[0] == "cell"]
    study = plan_study("lift", 2)
    assert {t.key for t in study} == {t.key for t in cells}
    assert {t.actor for t in study} == {NOMINAL, INFORMED}
    assert {t.scenario.id for t in study} < {t.scenario.id for t in cells}
    assert plan_study("lift", 0) == []


def ended(trials: list[Trial], succeeded: str, depth_mm: float) -> list[Ended]:
    return [
        Ended(trial, True, end == "+", depth_mm, 2 * depth_mm) for trial, end in zip(trials, succeeded, strict=True)
    ]


def test_an_episode_agrees_where_it_ends_alike_with_every_time_step():
    trials = [t for t in plan_study("lift", 2) if t.key[1] == "slippery_object"]
    study = agreement({4: ended(trials, "++--", 3.1), 8: ended(trials, "+---", 0.8), 16: ended(trials, "++-+", 0.7)})
    depths = {4: 3.1, 8: 0.8, 16: 0.7}
    assert study == {"slippery_object": {"n": 4, "k": 2, "penetration_mm": depths}}


def test_broken_physics_agrees_with_nothing_but_itself():
    (trial, *_) = plan_study("lift", 1)
    broken, failed = Ended(trial, False, False, math.inf, math.inf), Ended(trial, True, False, 0.0, 0.0)
    row = agreement({4: [broken], 8: [failed]})[trial.key[1]]
    assert (row["k"], row["penetration_mm"]) == (0, {4: None, 8: 0.0})
    assert agreement({4: [broken], 8: [broken]})[trial.key[1]]["k"] == 1


def test_other_trials_are_refused():
    one, *_, other = plan_study("lift", 1)
    with pytest.raises(ValueError, match="expected the same trials with every time step"):
        agreement({4: ended([one], "+", 0.0), 8: ended([other], "+", 0.0)})
