"""Sites and faults of a user's own: what a correct file gives, and the one line that each mistake gets."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import flow_rag_vla.tasks
from flow_rag_vla.tasks.contract import FaultClass, Phase
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.scenario_file import read_scenario_file, site_seed

EXAMPLE = Path(flow_rag_vla.tasks.__file__).parent / "scenarios" / "examples" / "warehouse.yaml"

GOOD: dict[str, Any] = {
    "task": "pick_place",
    "faults": [
        {
            "name": "gust", "family": "drop", "class": "avoidable", "cue": "region", "unit": "N",
            "ladder": [4, 8.0], "default": 8, "control": 1,
            "effect": {"push_side_n": {"scale": -2, "offset": 1}, "push_steps": 6},
            "trigger": {"phase": "carry", "step": 20, "region_y_m": [-0.05, 0.1]},
            "description": "a gust", "remedy": "a firmer grip", "lanes": [1, 2], "objects": ["cube"],
        },
        {
            "name": "syrup", "family": "timeout", "class": "exogenous", "cue": "none", "unit": "share",
            "ladder": [0.5], "default": 0.5, "control": 0.9, "effect": {"speed_scale": "severity"},
            "description": "slow", "remedy": "none",
        },
    ],
    "sites": [{"name": "dock", "colours": {"red": "slippery_object"}, "lanes": {1: "gust"}, "exogenous": ["syrup"]}],
}  # fmt: skip
"""The smallest file that uses everything."""

Change = Callable[[Any], None]


def written(folder: Path, content: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def put(*path: Any) -> Change:
    """Sets ``path[-1]`` at the place that the other parts name."""
    *keys, last, value = path

    def change(tree: Any) -> None:
        for key in keys:
            tree = tree[key]
        tree[last] = value

    return change


def drop(*path: Any) -> Change:
    *keys, last = path

    def change(tree: Any) -> None:
        for key in keys:
            tree = tree[key]
        del tree[last]

    return change


def complaints(path: Path, **options: Any) -> list[str]:
    with pytest.raises(ValueError, match="mine") as caught:
        read_scenario_file(path, **options)
    return str(caught.value).splitlines()


def test_a_correct_file_gives_its_faults(tmp_path):
    gust, syrup = read_scenario_file(written(tmp_path, GOOD)).faults
    assert (gust.name, gust.fault_class, gust.cue, gust.ladder) == ("gust", FaultClass.AVOIDABLE, "region", (4.0, 8.0))
    assert (gust.default_severity, gust.control_severity) == (8.0, 1.0)
    assert (gust.lanes, gust.objects, gust.tasks) == ((1, 2), ("cube",), ())
    assert (gust.trigger.phase, gust.trigger.step, gust.trigger.region_y_m) == (Phase.CARRY, 20, (-0.05, 0.1))
    assert gust.parameters(8.0) == {
        "push_side_n": -15.0,
        "push_steps": 6.0,
        "trigger_phase": 3.0,
        "trigger_step": 20.0,
        "trigger_y_low_m": -0.05,
        "trigger_y_high_m": 0.1,
    }
    assert syrup.parameters(0.5) == {"speed_scale": 0.5}


def test_a_correct_file_gives_its_sites(tmp_path):
    file = read_scenario_file(written(tmp_path, GOOD))
    (site,) = file.sites
    assert (file.task.slug, file.num_scenarios, file.site_names) == ("pick_place", None, ("dock",))
    assert site.seed == site_seed("dock") == 1412593280
    assert (site.colour_of, site.lane_of) == ({"slippery_object": "red"}, {"gust": 1})
    assert site.plain_lanes == (0, 2, 3, 4)
    assert "red" not in site.plain_colours
    assert len(site.plain_colours) == 9
    assert site.avoidable_faults == (get_fault("slippery_object"), file.faults[0])
    assert site.exogenous_faults == (file.faults[1],)


@pytest.mark.parametrize("number", ["1e0", "1.e0", "1E+0", "+1e-0", "1.0e+0", "0.1e1", ".1e1", "1"])
def test_a_number_is_read_in_every_notation(number, tmp_path):
    text = yaml.safe_dump(GOOD).replace("control: 1\n", f"control: {number}\n")
    assert f"control: {number}\n" in text
    assert read_scenario_file(written(tmp_path, text)).faults[0].control_severity == 1.0


def test_what_only_looks_like_a_number_stays_a_text(tmp_path):
    content = copy.deepcopy(GOOD)
    content["sites"][0]["name"] = "SITE"
    for name in ("1e", "e1", "1e1a", "d1e1", "1e1e1"):
        text = yaml.safe_dump(content).replace("name: SITE", f"name: {name}")
        assert read_scenario_file(written(tmp_path, text)).site_names == (name,)


def test_a_users_fault_makes_scenarios_like_any_other(tmp_path):
    site = read_scenario_file(written(tmp_path, GOOD)).sites[0]
    scenario = site.scenario(20_000_000, site.faults["gust"])
    assert (scenario.fault, scenario.severity, scenario.layout.lane, scenario.object_model) == ("gust", 8.0, 1, "cube")
    assert scenario.object_colour in site.plain_colours
    control = site.scenario(20_000_000, site.faults["gust"], FaultClass.CONTROL)
    assert control.parameters["push_side_n"] == -1.0
    assert control.noise_key == scenario.noise_key


def test_reading_leaves_the_suites_faults_alone_and_can_be_repeated(tmp_path):
    before = all_faults()
    first, second = (read_scenario_file(written(tmp_path, GOOD)) for _ in range(2))
    assert all_faults() == before
    assert (first.sha256, first.site_names) == (second.sha256, second.site_names)


def test_the_example_names_no_device_and_is_read():
    file = read_scenario_file(EXAMPLE)
    assert [fault.name for fault in file.faults] == ["draught", "sticky_zone"]
    assert file.faults[1].parameters(75.0)["speed_scale"] == pytest.approx(0.25)
    assert [len(site.avoidable_faults) for site in file.sites] == [2, 4]
    assert not {"device", "cuda", "cpu", "physics", "num_envs"} & set(EXAMPLE.read_text().replace(":", " ").split())


def test_without_a_task_the_file_suits_the_task_asked_for(tmp_path):
    content = copy.deepcopy(GOOD)
    del content["task"]
    assert read_scenario_file(written(tmp_path, content), "lift").sites[0].task.slug == "lift"
    assert read_scenario_file(written(tmp_path, content)).task.slug == "pick_place"


FAULT, SITE = ("faults", 0), ("sites", 0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("device", "cuda:0"), "unknown key 'device'; available: task, num_scenarios, faults, sites"),
        (put(*FAULT, "lader", []), "faults[0]: unknown key 'lader'; available: name, family, class, cue"),
        (put(*FAULT, "trigger", "fase", "lift"), "faults[0].trigger: unknown key 'fase'; available: phase, step"),
        (drop(*FAULT, "remedy"), "faults[0]: key 'remedy' is missing"),
        (put("faults", 0, 7), "faults[0]: got 7, expected a mapping"),
        (put("sites", []), "sites: got [], expected"),
        (put("num_scenarios", 0), "num_scenarios: got 0, expected greater than or equal to 1"),
        (put("num_scenarios", 1_020_001), "num_scenarios: got 1020001, expected less than or equal to 1020000"),
        (put("num_scenarios", "many"), "num_scenarios: got 'many', expected a valid integer"),
        (put(*FAULT, "default", "mild"), "faults[0].default: got 'mild', expected a valid number"),
        (put(*FAULT, "ladder", [4, True]), "faults[0].ladder[1]: got True, expected a valid number"),
        (put(*FAULT, "control", float("nan")), "faults[0].control: got nan, expected a finite number"),
        (put(*FAULT, "name", "My Gust"), "faults[0].name: got 'My Gust', expected"),
        (put(*FAULT, "name", "post"), "faults[0].name: 'post' is a fault of the library; choose another name"),
        (put(*FAULT, "name", "none"), "faults[0].name: 'none' stands for no fault; choose another name"),
        (put("faults", 1, "name", "gust"), "faults[1].name: 'gust' is already the name of faults[0]"),
        (put(*FAULT, "class", "clean"), "faults[0].class: got 'clean', expected 'avoidable' or 'exogenous'"),
        (put(*FAULT, "family", "crash"), "faults[0]: fault gust: family is 'crash', expected one of grasp, collision"),
        (put(*FAULT, "cue", "none"), "faults[0]: fault gust: avoidable faults need a cue"),
        (put(*FAULT, "default", 5), "faults[0].default: 5.0 is not on the ladder [4.0, 8.0]"),
        (put(*FAULT, "control", 4), "faults[0].control: 4.0 is on the ladder"),
        (put(*FAULT, "effect", "push_sid_n", 3), "faults[0].effect: unknown hazard parameter 'push_sid_n'; available:"),
        (put(*FAULT, "effect", "trigger_step", 3), "unknown hazard parameter 'trigger_step'; available: object_mass"),
        (put(*FAULT, "effect", "push_steps", "long"), "faults[0].effect.push_steps: got 'long', expected a number"),
        (put(*FAULT, "effect", "push_steps", {"scal": 2}), "faults[0].effect.push_steps: unknown key 'scal'; avail"),
        (put(*FAULT, "effect", "push_steps", 10**400), "faults[0].effect.push_steps: got 1000000"),
        (put(*FAULT, "effect", "push_steps", -6), "push_steps: is -6 at severity 4, expected 0 to 1e+09"),
        (put(*FAULT, "effect", "push_side_n", {"scale": 1e300}), "is 4e+300 at severity 4, expected -1e+09"),
        (put(*FAULT, "effect", "latency_steps", 20), "latency_steps: is 20 at severity 4, expected 0 to 16"),
        (put(*FAULT, "effect", "push_side_n", 9), "faults[0].effect: no parameter depends on the severity"),
        (drop(*FAULT, "effect", "push_steps"), "faults[0].effect: a push without push_steps does nothing"),
        (put(*FAULT, "effect", {"post_top_m": "severity", "beam_bottom_m": 0.3}), "expected one obstacle at most"),
        (put(*FAULT, "trigger", "phase", "nap"), "faults[0].trigger.phase: unknown phase 'nap'; available: approach"),
        (put(*FAULT, "trigger", "region_y_m", [0.1, 0.0]), "faults[0].trigger.region_y_m: got [0.1, 0.0], expected"),
        (put(*FAULT, "tasks", ["juggle"]), "faults[0].tasks[0]: unknown task 'juggle'; available: pick_place"),
        (put(*FAULT, "objects", ["egg"]), "faults[0].objects[0]: unknown object 'egg'; available: cube"),
        (put(*FAULT, "lanes", [5]), "faults[0].lanes[0]: lane 5 does not exist; there are lanes 0 to 4"),
        (put(*FAULT, "opposite", "calm"), "faults[0].opposite: unknown fault 'calm'; available:"),
        (put(*SITE, "lanes", 9, "post"), "sites[0].lanes.9: lane 9 does not exist; there are lanes 0 to 4"),
        (put(*SITE, "lanes", True, "post"), "expected a valid integer"),
        (put(*SITE, "lanes", {3: "gust"}), "sites[0].lanes.3: fault 'gust' may only be in lanes 1, 2"),
        (put(*SITE, "lanes", 2, "gust"), "sites[0].lanes.2: fault 'gust' is already at this site"),
        (put(*SITE, "lanes", 2, "psot"), "sites[0].lanes.2: unknown fault 'psot'; available:"),
        (put(*SITE, "lanes", 2, "raised_rim"), "fault 'raised_rim' is not offered by pick_place; available:"),
        (put(*SITE, "colours", "red", "gust"), "fault 'gust' has the cue 'region' and belongs under lanes"),
        (put(*SITE, "colours", "mauve", "post"), "sites[0].colours.mauve: unknown colour 'mauve'; available: red"),
        (put(*SITE, "exogenous", []), "faults[1]: fault 'syrup' is at no site"),
        (put(*SITE, "colors", {}), "sites[0]: unknown key 'colors'; available: name, colours, lanes, exogenous"),
        (put("sites", [GOOD["sites"][0], {"name": "dock", "lanes": {1: "post"}}]), "sites[1].name: 'dock' is already"),
        (put("sites", [GOOD["sites"][0], {"name": "void"}]), "sites[1]: holds no fault"),
        (put("task", "juggle"), "task: unknown task 'juggle'; available: pick_place"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_line_that_names_its_place(change, complaint, tmp_path):
    content = copy.deepcopy(GOOD)
    if complaint == "expected a valid integer":
        content["sites"][0]["lanes"] = {}
    change(content)
    lines = complaints(written(tmp_path, content))
    assert [complaint in line for line in lines].count(True) == 1, lines
    assert all(line.startswith(str(tmp_path / "mine.yaml: ")) for line in lines)


def test_three_kinds_of_mistakes_get_three_lines_at_once(tmp_path):
    content = copy.deepcopy(GOOD)
    content["faults"][0]["default"] = 5
    content["faults"][1]["effect"] = {"sped_scale": "severity"}
    content["sites"][0]["lanes"][7] = "post"
    lines = complaints(written(tmp_path, content))
    assert [line.split(": ")[1] for line in lines] == ["faults[0].default", "faults[1].effect", "sites[0].lanes.7"]


def test_a_misspelt_parameter_is_one_mistake_and_hides_no_other(tmp_path):
    content = copy.deepcopy(GOOD)
    content["faults"][0]["effect"] = {"push_sid_n": "severity", "push_steps": 6}
    content["faults"][0]["default"] = 5
    first, second = complaints(written(tmp_path, content))
    assert "faults[0].default: 5.0 is not on the ladder" in first
    assert "faults[0].effect: unknown hazard parameter 'push_sid_n'" in second


def test_every_lane_or_colour_hazardous_leaves_no_place_for_clean_scenarios(tmp_path):
    content = copy.deepcopy(GOOD)
    names = ["gust", "post", "beam", "push", "weak_grip"]
    content["faults"][0]["lanes"] = []
    content["sites"][0]["lanes"] = dict(enumerate(names))
    (line,) = complaints(written(tmp_path, content))
    assert line.endswith("sites[0].lanes: no lane is left plain, expected at least one for clean scenarios")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds nothing, expected a mapping"),
        ("- 1\n- 2\n", "holds a list, expected a mapping"),
        ("task: [pick", "line 1, column 12: "),
        ("task: a\ntask: b\n", "line 2, column 1: key 'task' repeats an earlier one"),
        ("sites:\n- lanes: {1: post, yes: beam}\n", "line 2, column 20: key 'yes' repeats an earlier one"),
        ("task: &t pick_place\nname: *t\n", "line 2, column 7: alias *t is not allowed"),
        ("task: !!python/object:os.system x\n", "could not determine a constructor"),
        ("task: 2026-02-31\n", "holds a value that does not exist"),
        ("a: 1\n---\nb: 2\n", "but found another document"),
        ("task: \x07\n", "is not YAML"),
        ("[" * 5000, "is nested too deeply"),
        ("#" * 300_000, "has 300000 bytes, expected at most 262144"),
    ],
)
def test_what_is_no_plain_yaml_mapping_is_one_line(text, complaint, tmp_path):
    (line,) = complaints(written(tmp_path, text))
    assert complaint in line


def test_a_file_that_is_missing_a_directory_or_not_text_is_one_line(tmp_path):
    assert complaints(tmp_path / "mine.yaml") == [f"{tmp_path / 'mine.yaml'}: no such file"]
    (tmp_path / "mine").mkdir()
    assert complaints(tmp_path / "mine") == [f"{tmp_path / 'mine'}: is a directory, expected a YAML file"]
    (tmp_path / "mine.bin").write_bytes(b"task: \xff\xfe")
    assert complaints(tmp_path / "mine.bin") == [f"{tmp_path / 'mine.bin'}: is not UTF-8 text (byte 6)"]


def test_a_file_about_another_task_than_asked_for_is_refused(tmp_path):
    (line,) = complaints(written(tmp_path, GOOD), task="lift")
    assert line.endswith("task: the file is about pick_place, but lift was asked for")
