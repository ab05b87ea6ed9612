"""The memory of a run is calibrated at the run's sites, with its settings and its first encounter."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.policies.calibration import calibrate as module
from flow_rag_vla.benchmark.policies.calibration.calibrate import CalibrationRequest, calibrate


@pytest.fixture
def run(start_fake: Callable[..., Path], fake_fleet, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run; the calibration's fleet succeeds and times out in turn, with the memory as without it."""

    def made(task: str, num_envs: int, **options: object):
        return fake_fleet(*[5, 99] * (num_envs // 2), max_episode_length=12)

    monkeypatch.setattr(module, "make_fleet", made)
    return start_fake()


def request(run: Path, episodes: int, max_harm: float = 0.5) -> CalibrationRequest:
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


def test_a_run_without_a_first_encounter_or_of_other_code_is_refused(run: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="no run directory"):
        calibrate(request(tmp_path, 6), io.StringIO())
    shutil.rmtree(next((run / "units").glob("r0-*")))
    with pytest.raises(UsageError, match="the first encounter is not complete"):
        calibrate(request(run, 6), io.StringIO())
