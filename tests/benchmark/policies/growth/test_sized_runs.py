"""Runs are put beside one another only where their sizes alone differ."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, write_json_atomic
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.policies.growth.sized_runs import differences_to_know, read_sized_runs

Writer = Callable[..., Path]
ARM = {"clean": (9, 10), "harm": (0.0, -0.1, 0.1), "cases": {0: 3, 1: 4}}
BASE = {"clean": (9, 10)}
SCRIPT = Path(__file__).parents[4] / "scripts/compare_memory_sizes.py"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"settings": {"agent": {"caution": 0.2, "num_neighbours": 5}}}, "agent.caution is 0.1 in {} and 0.2 in {};"),
        ({"settings": {"agent": {"caution": 0.1}}}, "agent.num_neighbours is 5 in {} and not set in {};"),
        ({"settings": {"detector": "learned"}}, "detector is rules in {} and learned in {};"),
        ({"settings": {"split": "development"}}, "split is evaluation in {} and development in {};"),
        ({"settings": {"seed": 3}}, "seed is 0 in {} and 3 in {};"),
        ({"settings": {"sites": 2}}, "sites is 1 in {} and 2 in {};"),
        ({"settings": {"rounds": 4}}, "rounds is 1 in {} and 4 in {};"),
        ({"manifest": {"policy_sha256": "cc"}}, "policy_sha256 is aa in {} and cc in {};"),
        ({"manifest": {"contacts_sha256": "dd"}}, "contacts_sha256 is bb in {} and dd in {};"),
        ({"manifest": {"scenario_file": {"sha256": "ee"}}}, "scenario_file.sha256 is not set in {} and ee in {};"),
        ({"arms": {"sequential": ARM}}, "arms is flow_only,parallel in {} and flow_only,parallel,sequential in {};"),
    ],
)
def test_runs_that_differ_in_more_than_their_size_are_refused_with_both_values(
    changes: dict[str, Any], line: str, write_run: Writer
):
    one, other = write_run(512, ARM, BASE), write_run(1024, ARM, BASE, **changes)
    with pytest.raises(UsageError) as refused:
        read_sized_runs([one, other])
    assert str(refused.value) == f"{line.format(one, other)} expected runs that differ in --scenarios alone"


def test_clean_and_control_on_new_layouts_are_not_put_beside_the_old_ones(write_run: Writer):
    one, other = write_run(512, ARM, BASE), write_run(1024, ARM | {"far": (1, 2)}, BASE)
    with pytest.raises(UsageError, match=r"^plays FAR is false in .*run512 and true in .*run1024;"):
        read_sized_runs([one, other])


def test_harm_on_clean_alone_is_not_put_beside_harm_on_clean_and_control(
    write_run: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # The smallest run has no harm pairs, so it is none of those that must agree.
    none = write_run(256, {"near": (1, 2), "cases": {0: 1}}, {"near": (0, 2)})
    both, alone = write_run(512, ARM | {"control": (5, 5)}, BASE), write_run(1024, ARM, BASE)
    assert refusal(capsys, none, both, alone, "--out", tmp_path / "page") == (
        f"harm is over CLEAN, CONTROL in {both} and over CLEAN in {alone}; expected the same exposures in all runs "
        "that measure it"
    )
    assert [run.scenarios for run in read_sized_runs([none, both])] == [256, 512]


def test_a_summary_of_an_older_schema_version_names_the_command_that_makes_it_anew(
    write_run: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run, old = write_run(512, ARM, BASE), write_run(1024, ARM, BASE)
    summary = read_json_object(old / "summary.json") | {"schema_version": 3}
    write_json_atomic(old / "summary.json", summary)
    said = refusal(capsys, run, old, "--out", tmp_path / "page")
    assert said == f"{old}/summary.json: schema version 3, expected 4; scripts/report.py {old} makes it anew"


def test_each_setting_that_differs_has_its_line(write_run: Writer):
    runs = [
        write_run(512, ARM, BASE),
        write_run(1024, ARM, BASE, settings={"seed": 1}),
        write_run(2048, ARM, BASE, settings={"seed": 2, "split": "development"}),
    ]
    with pytest.raises(UsageError) as refused:
        read_sized_runs(runs)
    assert [line.split(" in ")[0] for line in str(refused.value).splitlines()] == ["seed is 0", "split is evaluation"]


def test_how_many_episodes_are_played_where_and_of_which_exposures_may_differ(write_run: Writer):
    other = {"num_envs": 256, "block": 512, "threads": 4, "out": "elsewhere", "exposures": "clean,control"}
    runs = read_sized_runs([write_run(1024, ARM, BASE, settings=other), write_run(512, ARM, BASE)])
    assert [run.scenarios for run in runs] == [512, 1024]
    assert differences_to_know(runs) == []


def test_what_else_may_have_its_part_in_the_numbers_is_said(write_run: Writer):
    newer = {"code": {"commit": "fedcba9876543210", "sha256": "0ther"}, "versions": {"mujoco": "3.13.0"}}
    runs = read_sized_runs(
        [
            write_run(512, ARM, BASE),
            write_run(1024, ARM, BASE),
            write_run(2048, ARM, BASE, manifest=newer, settings={"device": "cuda:0"}),
        ]
    )
    assert differences_to_know(runs) == [
        "The runs were made by different code: 0123456 (512, 1024 scenarios), fedcba9 (2048 scenarios).",
        "The runs differ in the version of mujoco: 3.12.0 (512, 1024 scenarios), 3.13.0 (2048 scenarios).",
        "The runs differ in the device: cpu (512, 1024 scenarios), cuda:0 (2048 scenarios).",
    ]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: Path | str) -> str:
    """The one line with which the command ends in exit code 2."""
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT))["main"]([str(argument) for argument in arguments])
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line.partition(": error: ")[2]


def test_the_command_refuses_what_are_no_comparable_runs_in_one_line(
    write_run: Writer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run, out = write_run(512, ARM, BASE), ("--out", tmp_path / "page")
    assert "got 1 run, expected two or more" in refusal(capsys, run, *out)
    assert "no manifest.json there" in refusal(capsys, run, tmp_path / "nowhere", *out)
    again = write_run(512, ARM, BASE, name="again")
    assert f"{run} and {again} have 512 scenarios each" in refusal(capsys, run, again, *out)
    learned = write_run(1024, ARM, BASE, settings={"detector": "learned"}, name="learned")
    assert f"detector is rules in {run} and learned in {learned};" in refusal(capsys, run, learned, *out)
    (again / "summary.json").write_text("{")
    assert "not valid JSON" in refusal(capsys, run, again, *out)
    (again / "summary.json").unlink()
    assert f"{again}: no summary.json there, so the run is not finished" in refusal(capsys, run, again, *out)
    assert not list((tmp_path / "page").iterdir())
