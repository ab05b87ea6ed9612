"""What is played to calibrate a memory, and what is said of it."""

from __future__ import annotations

from collections import Counter

import pytest

from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.episodes.seeds import SPLITS, split_of
from flow_rag_vla.benchmark.policies.calibration.calibrate import Calibration
from flow_rag_vla.benchmark.policies.calibration.harm import calibration_episodes
from flow_rag_vla.benchmark.policies.calibration.risk_control import Threshold
from flow_rag_vla.benchmark.run.config import PLANNABLE_SPLITS
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.scenarios.sites import make_site

SITES = [make_site(SPLITS["development"].start + i, "pick_place") for i in range(2)]


def test_a_memory_is_calibrated_at_its_sites_on_layouts_that_no_run_can_draw():
    by_kind = calibration_episodes(SITES, 3, 40)
    scenarios = [episode.scenario for episodes in by_kind.values() for episode in episodes]
    assert {split_of(s.layout_seed) for s in scenarios} == {"calibration"}
    assert "calibration" not in PLANNABLE_SPLITS
    assert len({s.layout_seed for s in scenarios}) == 80
    assert Counter(s.site for s in scenarios) == {site.seed: 40 for site in SITES}


def test_one_half_is_clean_and_the_other_is_every_hazards_twin():
    by_kind = calibration_episodes(SITES, 0, 40)
    assert {e.scenario.fault_class for e in by_kind[Exposure.CLEAN]} == {FaultClass.CLEAN}
    control = by_kind[Exposure.CONTROL]
    assert {e.scenario.fault_class for e in control} == {FaultClass.CONTROL}
    for site in SITES:
        met = {e.scenario.fault for e in control if e.scenario.site == site.seed}
        assert met == {fault.name for fault in site.avoidable_faults}


@pytest.fixture
def found() -> Calibration:
    kinds = {"clean": Threshold(0.1, 1, 3, 300, 149), "control": Threshold(0.25, 0, 2, 300, 149)}
    return Calibration(0.02, 0.05, kinds)


def test_the_stricter_threshold_counts_and_is_ready_to_be_passed_on(found: Calibration):
    assert (found.threshold, found.abstains) == (0.25, False)
    assert str(found).splitlines()[-1] == "agent.uplift_threshold=0.2500"
    # Rounded up: advice at the threshold itself is not safe.
    odd = Calibration(0.02, 0.05, {"clean": Threshold(0.12341, 0, 2, 300, 149)})
    assert str(odd).splitlines()[-1] == "agent.uplift_threshold=0.1235"
    assert "clean    1 of 300 episodes harmed above 0.100, 3 above 0" in str(found)
    assert "at most 2 points of either, with 95 %" in str(found)


def test_too_few_episodes_of_either_kind_silence_the_memory_and_it_says_so(found: Calibration):
    found = Calibration(0.02, 0.05, found.kinds | {"control": Threshold(None, 0, 2, 100, 149)})
    assert (found.threshold, found.abstains) == (1.0, True)
    assert "control  100 episodes, and it takes 149 to promise anything" in str(found)
    assert "abstains" in str(found)
