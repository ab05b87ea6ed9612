"""An arm that is registered later counts everywhere: in settings, scores, reports and films."""

from __future__ import annotations

import pytest

from flow_rag_vla.agents.arms.arm import Arm, GuideNumbers, Suite
from flow_rag_vla.agents.arms.registry import register_arm
from flow_rag_vla.benchmark.films.demo import arm_choices
from flow_rag_vla.benchmark.run.config import compose_settings
from flow_rag_vla.benchmark.scoring.results import read_run
from flow_rag_vla.reports.tables import ablation
from flow_rag_vla.reports.wording import ordered_arms

GENTLE = Arm(
    "gentle",
    "grips softly",
    Suite.GUIDE,
    constant_corrections=("grip_down_3",),
    guide=GuideNumbers(33.0, "77 %", "600", "both"),
)


@pytest.mark.usefixtures("own_arms")
def test_a_new_arm_is_run_scored_and_shown(make_run):
    with pytest.raises(ValueError, match="unknown arm 'gentle'"):
        compose_settings(["ablation=gentle"])
    register_arm(GENTLE)
    assert compose_settings(["ablation=gentle"]).arms == ("flow_only", "gentle")
    assert compose_settings(["ablation=all"]).arms[-1] == "gentle"
    assert arm_choices()[-1] == "gentle"

    results = read_run(make_run(fix_rate={"flow_only": 0.1, "parallel": 0.5, "gentle": 0.9}))
    verdict = results.summary.verdict
    assert (verdict.arm, verdict.gain) == ("gentle", "more")  # the guide's arm that was registered last
    assert ordered_arms(["gentle", "unheard_of", "parallel", "another"]) == [
        "parallel",
        "gentle",
        "another",
        "unheard_of",
    ]
    assert "77 %" in ablation(results).frame().to_string()
