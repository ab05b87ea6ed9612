"""The memory of a run is calibrated at the run's sites, with its settings and its first encounter."""

from __future__ import annotations

import dataclasses
import io
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.episodes.seeds import SPLITS
from flow_rag_vla.benchmark.policies.calibration import harm
from flow_rag_vla.benchmark.policies.calibration.calibrate import CalibrationRequest, calibrate
from flow_rag_vla.benchmark.policies.calibration.cover import CoverageRequest, cover


@pytest.fixture
def start(start_fake: Callable[..., Path], fake_fleet, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Starts runs; the calibration's fleet succeeds and times out in turn, with the memory as without it."""

    def made(task: str, num_envs: int, **options: object):
        return fake_fleet(*[5, 99] * (num_envs // 2), max_episode_length=12)

    monkeypatch.setattr(harm, "make_fleet", made)
    return start_fake


@pytest.fixture
def run(start: Callable[..., Path]) -> Path:
    """A finished run."""
    return start()


def request(run: Path, episodes: int, max_harm: float | None = 0.5) -> CalibrationRequest:
    return CalibrationRequest(run, max_harm, error=0.05, episodes=episodes)


def test_where_the_memory_breaks_nothing_all_its_advice_is_safe(run: Path):
    found = calibrate(request(run, 6), io.StringIO())
    assert {name: (kind.harmed, kind.trials) for name, kind in found.kinds.items()} == {
        "clean": (0, 6),
        "control": (0, 6),
    }
    assert (found.abstains, found.threshold) == (False, 0.0)


def test_with_too_few_episodes_it_abstains(run: Path):
    found = calibrate(request(run, 6, max_harm=0.02), io.StringIO())
    assert (found.abstains, found.threshold) == (True, 1.0)


def test_the_run_says_how_much_may_be_broken_unless_the_request_does(start: Callable[..., Path]):
    bold = start("agent.max_harm=50")
    own = calibrate(request(bold, 6, max_harm=None), io.StringIO())
    assert (own.max_harm, own.abstains) == (0.5, False)
    asked = calibrate(request(bold, 6, max_harm=0.02), io.StringIO())
    assert (asked.max_harm, asked.abstains) == (0.02, True)


def test_a_run_without_a_first_encounter_or_of_other_code_is_refused(run: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="no run directory"):
        calibrate(request(tmp_path, 6), io.StringIO())
    shutil.rmtree(next((run / "units").glob("r0-*")))
    with pytest.raises(UsageError, match="the first encounter is not complete"):
        calibrate(request(run, 6), io.StringIO())


def coverage_request(run: Path, episodes: int = 4) -> CoverageRequest:
    return CoverageRequest(run, (0.5,), error=0.3, episodes=episodes, arms=("parallel", "rag_only"))


def test_coverage_plays_both_halves_at_every_site(start: Callable[..., Path]):
    found = cover(coverage_request(start("sites=2", "scenarios=40")), io.StringIO())
    first = SPLITS["development"].start
    for arm, kind in itertools.product(("parallel", "rag_only"), ("clean", "control")):
        sites = found.played[arm][kind]
        assert [(s.site, len(s.calibration), len(s.fresh)) for s in sites] == [(first, 2, 2), (first + 1, 2, 2)]
        # 0.5^2 <= 0.3: two episodes without harm are enough to promise 50 points.
        assert {(row.harmed, row.trials, row.abstained) for row in found.by_site[arm][kind]} == {(0, 4, 0)}
        assert {(len(row.thresholds), row.trials) for row in found.together[arm][kind]} == {(1, 4)}


def test_coverage_is_measured_at_development_sites_alone(start: Callable[..., Path]):
    evaluated = start("split=evaluation")
    with pytest.raises(UsageError, match="coverage is measured at development sites, got split=evaluation"):
        cover(coverage_request(evaluated), io.StringIO())


def test_one_episode_cannot_judge_itself(tmp_path: Path):
    with pytest.raises(UsageError, match="--episodes is 1, expected at least 2"):
        cover(coverage_request(tmp_path, episodes=1), io.StringIO())


# One promises nothing, the other acts by demonstrations whether or not it is advised.
@pytest.mark.parametrize("arm", ["parallel_ungated", "rag_only"])
def test_a_threshold_is_found_only_for_advice_that_it_can_limit(run: Path, arm: str):
    with pytest.raises(UsageError, match=f"arm '{arm}' promises no gain that .*; available: sequential, parallel, "):
        calibrate(dataclasses.replace(request(run, 6), arm=arm), io.StringIO())


def test_what_no_advice_was_given_on_is_not_harmed_by_it(start: Callable[..., Path], fake_fleet, monkeypatch):
    # The fleet's outcomes change from one arm to the next, though nobody is advised.
    path, fleet, ends = start(), fake_fleet(*[5] * 16, max_episode_length=12), iter([5, 99])
    load = fleet.load

    def changing(*loaded: object):
        fleet._ends_after = torch.full((16,), next(ends))
        return load(*loaded)

    monkeypatch.setattr(fleet, "load", changing)
    monkeypatch.setattr(harm, "make_fleet", lambda task, num_envs, **options: fleet)
    found = cover(CoverageRequest(path, (0.5,), error=0.3, episodes=8, arms=("rag_only",)), io.StringIO())
    assert next(ends, None) is None
    assert not [t for s in found.played["rag_only"]["clean"] for t in (*s.calibration, *s.fresh) if t.harmed]
