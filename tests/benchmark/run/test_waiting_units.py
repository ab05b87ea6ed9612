"""What an interrupted attempt at a unit left is set aside, and that is said."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.benchmark.episodes.plan import PlannedEpisode, Unit
from flow_rag_vla.benchmark.episodes.records import Exposure
from flow_rag_vla.benchmark.run import waiting_units
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.workers.barriers import Barriers
from flow_rag_vla.memory.failure_memory import FailureMemory
from flow_rag_vla.tasks.scenarios.sites import make_site


@pytest.fixture
def unit() -> Unit:
    """Three episodes of the first round."""
    scenarios = [make_site(0, "pick_place").scenario(10_000_000 + i) for i in range(3)]
    return Unit("flow_only", 1, 2, tuple(PlannedEpisode(Exposure.CLEAN, s, s.id, 1) for s in scenarios))


@pytest.fixture
def resumed(unit: Unit, fake_fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the unit in ``tmp_path``, without running anything; returns what the console said."""

    def resume() -> str:
        run: Any = SimpleNamespace(
            settings=BenchmarkSettings(num_envs=2),
            plan=SimpleNamespace(units=(unit,)),
            directory=RunDirectory(tmp_path),
            networks=SimpleNamespace(vision=None, policy=None),
            arm_settings=lambda latency: None,
            barriers=lambda: Barriers(tmp_path, (unit,), lambda source: FailureMemory()),
        )
        console = io.StringIO()
        waiting_units.run_waiting_units(run, console, lambda: None)
        return console.getvalue()

    monkeypatch.setattr(waiting_units, "make_fleet", lambda *args, **kwargs: fake_fleet(5, 5))
    monkeypatch.setattr(waiting_units.DecisionTimes, "measured", lambda self: None)
    monkeypatch.setattr(waiting_units, "run_unit", lambda context, unit, told: context.directory.begin(unit))
    return resume


def test_rows_of_an_interrupted_unit_are_set_aside_and_the_user_is_told(resumed, unit: Unit, tmp_path: Path):
    folder = tmp_path / "units" / unit.id
    folder.mkdir(parents=True)
    (folder / "episodes.jsonl").write_text("{}\n{}\n{torn")
    said = resumed().splitlines()[0]
    told = re.fullmatch(
        r"flow_only round 1: 2 of 3 episodes had run when it was interrupted; they are set aside in (.*) and run again",
        said,
    )
    assert told is not None
    assert (Path(told[1]) / "episodes.jsonl").read_text() == "{}\n{}\n{torn"
    assert (tmp_path / "log.txt").read_text().splitlines() == [said]
    assert not (folder / "episodes.jsonl").exists()


@pytest.mark.parametrize(
    ("done", "reason"),
    [("", r".*/DONE\.json: not valid JSON: .*"), ('{"episodes": 3}', r".*/DONE\.json: \$\.measured is None, .*")],
)
def test_a_unit_whose_end_is_damaged_is_set_aside_and_the_user_is_told_why(
    resumed, unit: Unit, tmp_path: Path, done: str, reason: str
):
    folder = tmp_path / "units" / unit.id
    folder.mkdir(parents=True)
    (folder / "episodes.jsonl").write_text("")
    (folder / "DONE.json").write_text(done)
    said = resumed().splitlines()[0]
    assert re.fullmatch(rf"flow_only round 1: 0 of 3 episodes had run, but {reason}; they are set aside in .*", said)
    (aside,) = (tmp_path / "units").glob("*.interrupted-*")
    assert (aside / "DONE.json").read_text() == done


def test_a_unit_that_was_never_begun_is_not_mentioned(resumed, tmp_path: Path):
    assert "set aside" not in resumed()
    assert not (tmp_path / "log.txt").exists()


def test_what_nobody_set_aside_is_not_written_over(unit: Unit, tmp_path: Path):
    directory = RunDirectory(tmp_path)
    directory.begin(unit)
    with pytest.raises(FileExistsError):
        directory.begin(unit)
