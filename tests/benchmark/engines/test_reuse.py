"""What is taken from earlier files, and which files are refused."""

from __future__ import annotations

import dataclasses

import pytest

from flow_rag_vla.benchmark.engines.cells import Assignment, plan_cells
from flow_rag_vla.benchmark.engines.outcomes import EpisodeEnd, PlayedCell, World, write_outcomes
from flow_rag_vla.benchmark.engines.reuse import made_by_other_code, taken
from flow_rag_vla.benchmark.episodes.records import Outcome
from flow_rag_vla.tasks.catalogue.registry import get_task

WORLD = World.of({"cone": "elliptic"}, {"mujoco": "3.3"})


def assigned(n: int = 2, seed: int = 1, arm: str = "flow_only", policy: str = "abc") -> list[Assignment]:
    """Two cells, the hazard and its control."""
    cells = plan_cells([get_task("pick_place")], ["slippery_object"], n, seed)
    return [Assignment("newton_mjwarp", arm, policy, cell) for cell in cells]


def succeeded(assignment: Assignment) -> PlayedCell:
    ends = [EpisodeEnd(key, Outcome.SUCCESS, 0.5, None) for key in assignment.cell.scenario_ids]
    return PlayedCell(assignment.key, "cpu", assignment.checkpoint_sha256, tuple(ends))


@pytest.fixture
def write(tmp_path):
    """``write("a", cells)`` gives the path of a file of them."""

    def writer(name: str, cells: list[PlayedCell], world: World = WORLD):
        write_outcomes(tmp_path / f"{name}.json", world, cells)
        return tmp_path / f"{name}.json"

    return writer


def test_what_is_asked_for_is_taken_from_all_files_and_what_they_lack_is_left_to_be_played(write):
    hazard, control = assigned()
    (clean, _) = assigned(arm="expert")
    first, second = write("a", [succeeded(hazard)]), write("b", [succeeded(control), succeeded(hazard)])
    assert taken([first], WORLD, [hazard, control]) == {hazard.key: succeeded(hazard)}
    assert set(taken([first, second], WORLD, [hazard, control, clean])) == {hazard.key, control.key}
    assert taken([], WORLD, [hazard]) == {}


@pytest.mark.parametrize(("changes", "alike"), [({"n": 3}, 2), ({"seed": 2}, 0)])
def test_other_scenarios_are_refused_in_one_line(write, changes, alike):
    path = write("a", [succeeded(assigned(**changes)[0])])
    with pytest.raises(ValueError, match="scenarios are not the same") as refusal:
        taken([path], WORLD, assigned())
    n = changes.get("n", 2)
    assert str(refusal.value) == (
        f"{path}: newton_mjwarp, flow_only, pick_place, slippery_object (avoidable): scenarios are not the same: {n}, "
        f"of which {alike} are among the 2 that --n and --seed name"
    )


def test_another_policy_is_refused(write):
    path = write("a", [succeeded(assigned(policy="xyz")[0])])
    with pytest.raises(ValueError, match="played by the policy xyz, expected abc"):
        taken([path], WORLD, assigned())


def test_other_contacts_and_versions_are_refused(write):
    path = write("a", [succeeded(assigned()[0])], World.of({"cone": "pyramidal"}, {"mujoco": "3.2"}))
    with pytest.raises(ValueError, match=r"another world: cone pyramidal, here elliptic; mujoco 3.2, here 3.3"):
        taken([path], WORLD, assigned())


def test_a_file_from_which_nothing_would_be_taken_is_refused(write):
    path = write("a", [succeeded(assigned(arm="expert")[0])])
    with pytest.raises(ValueError, match="none of the cells asked for; expected one like newton_mjwarp, flow_only"):
        taken([path], WORLD, assigned())


def test_files_that_contradict_each_other_are_refused(write):
    hazard = assigned()[0]
    cell = succeeded(hazard)
    failed = dataclasses.replace(cell.ends[0], outcome=Outcome.FAILURE, reason="drop")
    other = write("b", [dataclasses.replace(cell, ends=(failed, *cell.ends[1:]))])
    with pytest.raises(ValueError, match=r"b\.json: .* not those of a file before it"):
        taken([write("a", [cell]), other], WORLD, [hazard])


def test_a_file_is_not_replaced_by_a_part_of_itself(write):
    hazard, control = assigned()
    path = write("a", [succeeded(hazard), succeeded(control)])
    assert len(taken([path], WORLD, [hazard, control], out=path)) == 2
    with pytest.raises(ValueError, match="would lose 1 cells that are not asked for"):
        taken([path], WORLD, [hazard], out=path)
    assert len(taken([path], WORLD, [hazard], out=path.with_name("b.json"))) == 1


def test_files_of_other_code_are_told_and_those_of_the_same_commit_are_not(tmp_path):
    here = {"commit": "b" * 40, "dirty": False}
    states = {"same": here, "older": {"commit": "a" * 40, "dirty": False}, "edited": {**here, "dirty": True}}
    for name, code in states.items():
        write_outcomes(tmp_path / f"{name}.json", WORLD, [], code=code)
    paths = [tmp_path / f"{name}.json" for name in states]

    assert made_by_other_code(paths, here) == [
        f"{paths[1]} was made by commit {'a' * 40}; this is commit {'b' * 40}",
        f"{paths[2]} was made by commit {'b' * 40} with changes; this is commit {'b' * 40}",
    ]
    assert len(made_by_other_code(paths[2:], states["edited"])) == 1, "changes need not be the same ones"


def test_a_file_that_names_no_code_is_told(tmp_path):
    write_outcomes(tmp_path / "bare.json", WORLD, [])
    assert "commit unknown" in made_by_other_code([tmp_path / "bare.json"], {"commit": "b" * 40, "dirty": False})[0]
