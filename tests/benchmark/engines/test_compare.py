"""A comparison of two engines that need no physics: what is played, in which fleets, and what is not played again."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from flow_rag_vla.benchmark.engines import compare as module
from flow_rag_vla.benchmark.engines.compare import NATIVE, CompareRequest, outcomes, plan, world_here
from flow_rag_vla.benchmark.engines.comparison import compare_engines
from flow_rag_vla.benchmark.engines.outcomes import write_outcomes
from flow_rag_vla.benchmark.scoring.statistics import McNemar, proportion
from flow_rag_vla.tasks.env.make import resolve_physics

REQUEST = CompareRequest(
    task="pick_place",
    fault=("none", "slippery_object"),
    arms=("nominal_expert", "expert"),
    n=2,
    physics=(NATIVE, "newton_mjwarp"),
    num_envs=4,
    seed=1,
    checkpoint="default",
    device="cpu",
    controls=True,
)


@pytest.fixture
def fleets(fake_fleet, monkeypatch):
    """The fleets that were asked for, by engine; on MuJoCo Warp the last environment's episodes time out."""
    built = []

    def make(task, num_envs, *, physics, device, max_steps):
        if any("close" not in fleet.calls for _, _, _, fleet in built):
            pytest.fail("a simulation was built beside another")
        ends = [2] * num_envs
        if physics == "newton_mjwarp":
            ends[-1] = 99
        fleet = fake_fleet(*ends, max_episode_length=5)
        built.append((physics, device, num_envs, fleet))
        return fleet

    monkeypatch.setattr(module, "make_fleet", make)
    return built


def play(request, on_played=lambda cells: None):
    return outcomes(request, io.StringIO(), on_played)


def test_the_native_engine_is_the_one_of_the_cpu():
    assert resolve_physics("auto", "cpu") == NATIVE


def test_each_engine_and_task_has_one_fleet_in_which_all_arms_play_all_cells(fleets):
    played = play(REQUEST)
    # Three cells of two episodes: two batches of three for each of the two arms.
    assert [(physics, device, size) for physics, device, size, _ in fleets] == [
        (NATIVE, "cpu", 3),
        ("newton_mjwarp", "cpu", 3),
    ]
    assert [fleet.calls.count("load") for *_, fleet in fleets] == [4, 4]
    assert [cell.key for cell in played] == [assignment.key for assignment in plan(REQUEST)]
    rows = compare_engines(played, *REQUEST.physics)
    assert len(rows) == 6
    # Of the episodes 0 to 5, numbers 2 and 5 time out: the first of the hazard and the last of the control.
    assert [row.second.success for row in rows] == [proportion(k, 2) for k in (2, 1, 1)] * 2
    assert {row.first.success for row in rows} == {proportion(2, 2)}
    assert rows[1].mcnemar == McNemar(0, 1, 1.0)


def test_native_mujoco_stays_on_the_cpu_whatever_the_device(fleets, monkeypatch):
    monkeypatch.setattr("flow_rag_vla.benchmark.engines.play.make_expert", lambda arm, env: pytest.skip("far enough"))
    with pytest.raises(pytest.skip.Exception):
        play(replace(REQUEST, device="cuda:3"))
    with pytest.raises(pytest.skip.Exception):
        play(replace(REQUEST, device="cuda:3", physics=("newton_mjwarp",)))
    assert [(physics, device) for physics, device, *_ in fleets] == [(NATIVE, "cpu"), ("newton_mjwarp", "cuda:3")]


def test_outcomes_are_handed_over_whenever_an_arm_is_done(fleets):
    seen = []
    play(REQUEST, lambda cells: seen.append(len(cells)))
    assert seen == [3, 6, 9, 12]


def test_what_a_file_holds_is_not_played_again(fleets, tmp_path):
    path, merged = tmp_path / "mjwarp.json", []
    warp = play(replace(REQUEST, physics=("newton_mjwarp",)))
    write_outcomes(path, world_here(), warp)
    played = play(replace(REQUEST, reuse=(path,)), merged.append)
    assert [physics for physics, *_ in fleets] == ["newton_mjwarp", NATIVE]
    assert played[6:] == warp
    assert played == merged[-1]
    write_outcomes(path, world_here(), played)
    assert play(replace(REQUEST, reuse=(path,))) == played
    assert len(fleets) == 2


def test_only_the_cells_that_a_file_lacks_are_played(fleets, tmp_path):
    path = tmp_path / "clean.json"
    write_outcomes(path, world_here(), play(replace(REQUEST, fault=("none",), arms=("expert",))))
    fleets.clear()
    played = play(replace(REQUEST, reuse=(path,)))
    assert [cell.key for cell in played] == [assignment.key for assignment in plan(REQUEST)]
    # The nominal expert plays three cells in two batches, the informed one the two others in two.
    assert [(size, fleet.calls.count("load")) for _, _, size, fleet in fleets] == [(3, 4), (3, 4)]


def test_a_file_of_other_scenarios_is_refused_before_anything_is_played(fleets, tmp_path):
    path = tmp_path / "more.json"
    write_outcomes(path, world_here(), play(replace(REQUEST, n=3)))
    fleets.clear()
    with pytest.raises(ValueError, match="scenarios are not the same: 3, of which 2 are among the 2"):
        play(replace(REQUEST, reuse=(path,)))
    assert not fleets


def test_the_policy_of_an_arm_is_named_by_its_hash_and_an_experts_is_not():
    hashes = {a.arm: a.checkpoint_sha256 for a in plan(replace(REQUEST, arms=("expert", "flow_only")))}
    assert hashes["expert"] is None
    assert len(hashes["flow_only"] or "") == 64


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task": "juggle"}, "unknown task 'juggle'; available: pick_place"),
        ({"fault": ("earthquake",)}, "fault 'earthquake' is not offered by pick_place; available: all, none"),
        ({"checkpoint": "none.safetensors", "arms": ("flow_only",)}, "none.safetensors"),
        ({"seed": 500}, "seed 500 is out of range, expected 0 to 499"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line_before_anything_is_played(fleets, changes, complaint):
    with pytest.raises(ValueError, match=complaint) as refusal:
        play(replace(REQUEST, **changes))
    assert "\n" not in str(refusal.value)
    assert not fleets
