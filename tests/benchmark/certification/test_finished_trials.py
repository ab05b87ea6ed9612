"""A certification that was cut goes on: episodes that have ended are not run again, and end as they did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.certification import finished_trials as module
from flow_rag_vla.benchmark.certification.certify import INFORMED, NOMINAL, Ended, Trial
from flow_rag_vla.benchmark.certification.finished_trials import FinishedTrials
from flow_rag_vla.tasks.faults.registry import get_fault
from flow_rag_vla.tasks.scenarios.sites import make_site

WORLD = {"versions": {"mujoco": "1.0"}, "contacts": {"cone": "elliptic", "timestep_s": 1 / 3}}


class Fleet:
    """Plays whatever it is given; closing is all that is asked of it."""

    closed = 0

    def close(self) -> None:
        Fleet.closed += 1


class CutError(Exception):
    """The machine went away."""


def ended(trial: Trial) -> Ended:
    depth = math.nan if trial.actor == INFORMED else 0.1 * (trial.scenario.layout_seed % 7)
    return Ended(trial, trial.actor != INFORMED, trial.scenario.layout_seed % 2 == 0, depth, 2 * depth)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """Fills with the trials that were played."""
    trials: list[Trial] = []

    def run(env: Fleet, given: Sequence[Trial], on_trials: Callable[[int], None]) -> Iterator[Ended]:
        for number, trial in enumerate(given, start=1):
            trials.append(trial)
            yield ended(trial)
            on_trials(number)

    monkeypatch.setattr(module, "run_trials", run)
    return trials


def some(n: int) -> list[Trial]:
    site = make_site(10_000_000, "pick_place")
    scenarios = [site.scenario(10_000_000 + i, get_fault("post")) for i in range(n)]
    return [Trial(("cell", "post", str(actor)), s, actor) for s in scenarios for actor in (NOMINAL, INFORMED)]


def fleet(trials: int) -> Any:
    return Fleet()


def same(found: Sequence[Ended], trials: Sequence[Trial]) -> bool:
    return [repr(end) for end in found] == [repr(ended(trial)) for trial in trials]


def test_a_cut_certification_goes_on_where_it_stopped(tmp_path: Path, played: list[Trial]):
    path, trials = tmp_path / "mjwarp" / "post.trials.jsonl", some(4)

    def cut(done: int) -> None:
        if done == 3:
            raise CutError

    with pytest.raises(CutError):
        FinishedTrials(path, WORLD).run(trials, fleet, cut)
    assert played == trials[:3]
    asked: list[int] = []
    counts: list[int] = []
    again = FinishedTrials(path, WORLD)
    assert (len(again), again.by_other_code) == (3, False)
    found = again.run(trials, lambda n: fleet(asked.append(n) or n), counts.append)
    assert same(found, trials)
    assert (played, asked, counts[0], counts[-1]) == (trials, [5], 4, 8)
    assert Fleet.closed >= 2


def test_nothing_is_built_where_nothing_is_missing_and_the_file_goes_when_it_is_forgotten(
    tmp_path: Path, played: list[Trial]
):
    path, trials = tmp_path / "post.trials.jsonl", some(2)
    FinishedTrials(path, WORLD).run(trials, fleet, lambda n: None)
    again = FinishedTrials(path, WORLD)
    assert same(again.run(trials, lambda n: pytest.fail("a fleet was built"), lambda n: None), trials)
    again.forget()
    assert not path.exists()
    assert len(FinishedTrials(path, WORLD)) == 0


def test_an_episode_that_two_trials_count_runs_once_and_another_time_step_is_another_episode(
    tmp_path: Path, played: list[Trial]
):
    (cell, told), path = some(1), tmp_path / "post.trials.jsonl"
    dose = Trial(("dose", "post", 1.0), cell.scenario, NOMINAL)
    finished = FinishedTrials(path, WORLD)
    assert same(finished.run([cell, dose, told], fleet, lambda n: None), [cell, dose, told])
    assert [(trial.scenario, trial.actor) for trial in played] == [(cell.scenario, NOMINAL), (cell.scenario, INFORMED)]
    finished.run([cell], fleet, lambda n: None, num_substeps=4)
    assert played[2:] == [cell]
    assert len(FinishedTrials(path, WORLD)) == 3


def test_a_line_without_an_end_is_played_again(tmp_path: Path, played: list[Trial]):
    path, trials = tmp_path / "post.trials.jsonl", some(2)
    FinishedTrials(path, WORLD).run(trials, fleet, lambda n: None)
    path.write_bytes(path.read_bytes()[:-10])
    assert same(FinishedTrials(path, WORLD).run(trials, fleet, lambda n: None), trials)
    assert played == [*trials, trials[-1]]
    assert len(FinishedTrials(path, WORLD)) == 4


def test_what_other_code_played_is_told(tmp_path: Path, played: list[Trial], monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "post.trials.jsonl"
    FinishedTrials(path, WORLD).run(some(1), fleet, lambda n: None)
    monkeypatch.setattr(module, "code_sha256", lambda: "other")
    assert FinishedTrials(path, WORLD).by_other_code


def test_another_world_or_a_damaged_line_is_refused_by_name(tmp_path: Path, played: list[Trial]):
    path = tmp_path / "post.trials.jsonl"
    FinishedTrials(path, WORLD).run(some(1), fleet, lambda n: None)
    with pytest.raises(ValueError, match=r"post\.trials\.jsonl was made with versions .*1\.0.*got .*2\.0.*remove it"):
        FinishedTrials(path, {**WORLD, "versions": {"mujoco": "2.0"}})
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "{", *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match=r"post\.trials\.jsonl:2: not valid JSON"):
        FinishedTrials(path, WORLD)
    path.write_text("\n".join([lines[0], '{"scenario": 3}']) + "\n")
    with pytest.raises(ValueError, match=r"post\.trials\.jsonl:2: expected actor, num_substeps"):
        FinishedTrials(path, WORLD)
