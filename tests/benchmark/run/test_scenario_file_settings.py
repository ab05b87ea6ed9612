"""``--scenarios FILE``: what the file decides, what the user still may, and what a run keeps of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import flow_rag_vla.tasks
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.run import cli
from flow_rag_vla.benchmark.run.config import compose_settings
from flow_rag_vla.benchmark.run.run_directory import RunDirectory
from flow_rag_vla.benchmark.run.run_plan import plan_run, resolve_settings
from flow_rag_vla.tasks.scenarios.scenario_file import read_scenario_file, site_seed

EXAMPLE = Path(flow_rag_vla.tasks.__file__).parent / "scenarios" / "examples" / "warehouse.yaml"
FILE = f"scenario_file='{EXAMPLE}'"


class NoReports:
    """Bad usage never gets as far as a report."""

    def build(self, run_dir: Path) -> Path:
        raise AssertionError(run_dir)

    def table(self, run_dir: Path) -> str:
        raise AssertionError(run_dir)


def test_the_file_decides_task_sites_and_the_number_of_scenarios():
    settings = compose_settings([FILE])
    assert (settings.task, settings.sites, settings.scenarios) == ("FlowRAG-PickPlace-Franka", 2, 256)


def test_a_number_that_is_given_outranks_the_files_and_so_does_quick():
    assert compose_settings([FILE, "scenarios=32"]).scenarios == 32
    assert resolve_settings(compose_settings([FILE, "quick=true", "device=cpu"])).scenarios == 64


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("task=lift", "the file is about pick_place, but lift was asked for"),
        ("sites=3", "sites is 3, but .*warehouse.yaml holds 2"),
    ],
)
def test_settings_that_contradict_the_file_are_refused(override, complaint):
    with pytest.raises(ValueError, match=complaint):
        compose_settings([FILE, override])


def test_more_sites_than_a_run_may_have_are_refused_before_it_starts(tmp_path):
    sites = "".join(f"- {{name: s{i}, lanes: {{1: post}}}}\n" for i in range(1001))
    (tmp_path / "mine.yaml").write_text(f"sites:\n{sites}")
    with pytest.raises(ValueError, match="sites: got 1001, expected at most 1000"):
        compose_settings([f"scenario_file='{tmp_path / 'mine.yaml'}'"])


def test_the_plan_holds_the_users_faults_at_the_users_sites():
    settings = resolve_settings(compose_settings([FILE, "scenarios=100", "device=cpu"]))
    scenarios = plan_run(settings, read_scenario_file(EXAMPLE)).scenarios
    assert Counter(s.site for s in scenarios) == {site_seed("loading dock"): 50, site_seed("packing table"): 50}
    dock = {s.fault for s in scenarios if s.site == site_seed("loading dock")}
    assert dock == {"draught", "slippery_object", "sticky_zone", "none"}
    draughts = [s for s in scenarios if s.fault == "draught"]
    assert {s.layout.lane for s in draughts} == {1}
    assert {s.parameters["push_side_n"] for s in draughts} == {18.0, 2.0}


def test_a_run_is_resumed_from_its_own_copy(tmp_path):
    mine = tmp_path / "my sites.yaml"
    mine.write_bytes(EXAMPLE.read_bytes())
    settings = resolve_settings(compose_settings([f"scenario_file='{mine}'", "scenarios=32", "device=cpu"]))
    file = read_scenario_file(mine)
    plan = plan_run(settings, file)
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    directory.start(settings, plan, [], {"scenario_file": directory.keep_scenario_file(file)})
    mine.unlink()

    again = directory.settings()
    assert again.scenario_file == str(directory.path / "scenarios.yaml")
    directory.require_same(again, plan_run(again, read_scenario_file(again.scenario_file, again.task)), {})
    kept = directory.manifest()["scenario_file"]
    seeds = {name: site_seed(name) for name in file.site_names}
    assert kept == {"sha256": file.sha256, "sites": seeds}

    (directory.path / "scenarios.yaml").write_text("sites: []")
    with pytest.raises(UsageError, match="has changed since the run was started"):
        directory.settings()
    (directory.path / "scenarios.yaml").unlink()
    with pytest.raises(UsageError, match="is missing"):
        directory.settings()


def test_three_mistakes_are_three_lines_and_exit_code_2(tmp_path, monkeypatch, capsys):
    text = EXAMPLE.read_text()
    for right, wrong in (("default: 18.0", "default: 19.0"), ("{0: beam", "{8: beam"), ("speed_scale", "sped_scale")):
        assert right in text
        text = text.replace(right, wrong)
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(["--scenarios", "mine.yaml"], NoReports())
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    places = ["faults[0].default", "faults[1].effect", "sites[1].lanes.8"]
    assert [line.split(": ")[:4] for line in lines] == [["benchmark.py", "error", "mine.yaml", p] for p in places]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scenarios", "many"], "--scenarios 'many': no such file; expected a number or a YAML file"),
        (["--scenarios", "."], ".: is a directory, expected a YAML file"),
        (["--scenarios", "3", "--scenarios", "4"], "--scenarios got '4', expected a number once and a YAML file once"),
        (["--scenarios", "-5"], "scenarios is -5, expected 1 to 1020000"),
        (["--scenarios", str(EXAMPLE), "--scenarios", "11"], "got 11 scenarios, expected at least 12 "),
    ],
)
def test_what_scenarios_cannot_be_is_one_line(arguments, complaint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments, NoReports())
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert complaint in line
    assert not list(tmp_path.iterdir())
