"""Every number that a user may give has a range, and its first illegal values get one line before torch is loaded."""

from __future__ import annotations

import argparse
import functools
import json
import math
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.command.ranges import (
    ANY_SEED,
    BLOCK,
    CELL,
    LAYOUTS,
    RANGES,
    Range,
    key_has_range,
    leaves,
    range_of,
    refuse_arguments,
    refuse_settings,
)
from flow_rag_vla.benchmark.episodes.seeds import BLOCK_SIZE, MAX_LAYOUTS, MAX_SITES, SPLITS
from flow_rag_vla.benchmark.run.cli import main as benchmark
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.training.cli import main as train
from flow_rag_vla.benchmark.training.settings import TrainSettings

SCRIPTS = Path(__file__).parents[3] / "scripts"
REQUIRED = {
    "calibrate_memory.py": ("a run",),
    "export_dataset.py": ("--out", "new"),
    "report.py": ("run",),
    "policy_table.py": ("--networks", "a=b"),
    "training_curve.py": ("run",),
}
LISTS = {("audit_labels.py", "seeds"), ("throughput.py", "num_envs")}
"""Flags that take whole numbers between commas."""

DRAW_THEIR_OWN = {"train_detector.py", "train_vision.py", "evaluate_detector.py"}
"""Scripts whose seed is that of a random generator and names no layouts."""


def number_flags() -> list[tuple[str, str, bool]]:
    """Script, flag and whether it takes whole numbers, of all scripts but those that compose settings."""
    found = []
    for script in sorted(SCRIPTS.glob("*.py")):
        make = runpy.run_path(str(script)).get("_parser")
        actions = make()._actions if make is not None else ()
        numbers = [a for a in actions if a.type in (int, float) or (script.name, a.dest) in LISTS]
        found += [(script.name, action.dest, action.type is not float) for action in numbers]
    return found


FLAGS = number_flags()
SETTINGS = [
    (kind, key, not isinstance(value, float))
    for kind in (BenchmarkSettings, TrainSettings)
    for key, value in leaves(kind())
    if not isinstance(value, bool | str | list) and key_has_range(key)
]


def limits(script: str, name: str) -> Range:
    return ANY_SEED if name == "seed" and script in DRAW_THEIR_OWN else range_of(name)


def illegal(limit: Range, whole: bool) -> list[str]:
    """The first values below and above, and what is no number, not finite or not whole."""
    if whole:
        return [str(limit.least - 1), str(limit.most + 1), "nan", "inf", "many", "9" * 20]
    below = limit.least if limit.above else math.nextafter(limit.least, -math.inf)
    above = limit.most if limit.below else math.nextafter(limit.most, math.inf)
    return [repr(below), repr(above), "nan", "-inf", "many"]


def refusal(capsys, call) -> str:
    """The one line that ``call`` answers before it ends with code 2."""
    with pytest.raises(SystemExit) as stop:
        call()
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1), err
    assert len(err) < 2200
    return err


def test_there_are_settings_and_flags_to_check():
    assert len(FLAGS) > 50
    assert len(SETTINGS) > 40
    assert {key for _, key, _ in SETTINGS} >= {"agent.confidence_gate", "agent.execute", "num_envs", "training.seed"}


@pytest.mark.parametrize("kind", [BenchmarkSettings, TrainSettings])
def test_every_number_among_the_settings_has_a_range(kind):
    for key, value in leaves(kind()):
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert value in range_of(key), key


NOBODY: Any = None
"""A reporter that nothing reaches."""


def put(settings, key: str, value: float) -> None:
    *groups, name = key.split(".")
    setattr(functools.reduce(getattr, groups, settings), name, value)


@pytest.mark.parametrize(("kind", "key", "whole"), SETTINGS)
def test_the_first_illegal_values_of_a_setting_are_one_line(kind, key, whole, capsys, tmp_path, monkeypatch):
    """Two of them on the command line, which takes a moment; all numbers where it leads to."""
    monkeypatch.chdir(tmp_path)
    main = partial(benchmark, reporter=NOBODY) if kind is BenchmarkSettings else partial(train, scripts=SCRIPTS)
    low, *others, word = illegal(range_of(key), whole)[:-1] if whole else illegal(range_of(key), whole)
    for value in (low, word):
        line = refusal(capsys, partial(main, [f"{key}={value}"]))
        assert f"{key} is " in line, line
        assert value in line, line
        assert "expected" in line, line
    for value in map(float, others):
        settings = kind()
        put(settings, key, value)
        with pytest.raises(UsageError) as error:
            refuse_settings(settings)
        assert str(error.value) == f"{key} is {value}, expected {range_of(key)}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("script", "name", "whole"), FLAGS)
def test_the_first_illegal_values_of_a_flag_are_one_line(script, name, whole, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(SCRIPTS / script))["main"]
    for value in [*illegal(limits(script, name), whole), *["1.5"] * whole]:
        line = refusal(capsys, lambda value=value: main([*REQUIRED.get(script, ()), f"--{name}", value]))
        assert f"--{name}" in line, line
        assert "expected" in line, line
    assert not list(tmp_path.iterdir())


REFUSED_EARLY = """
import contextlib, io, json, runpy, sys
for script, arguments in json.load(sys.stdin):
    sys.argv = [script, *arguments]
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as stop:
            code = stop.code
    print(script.rpartition("/")[2], *arguments, code, sorted({"torch", "isaaclab", "pandas"} & set(sys.modules)))
"""


def test_a_number_out_of_its_range_is_refused_before_torch_is_loaded():
    calls = [(script, [*REQUIRED.get(script, ()), f"--{name}", "9" * 20]) for script, name, _ in FLAGS]
    calls += [("benchmark.py", [f"{key}=-7"]) for kind, key, _ in SETTINGS if kind is BenchmarkSettings]
    calls += [("train.py", [f"{key}=-7"]) for kind, key, _ in SETTINGS if kind is TrainSettings]
    calls += [("benchmark.py", ["--num_envs", "9999999999999999999"]), ("benchmark.py", ["--rounds", "999999999999"])]
    given = json.dumps([(str(SCRIPTS / script), arguments) for script, arguments in calls])
    program = [sys.executable, "-c", REFUSED_EARLY]
    result = subprocess.run(program, input=given, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [f"{script} {' '.join(arguments)} 2 []" for script, arguments in calls]


def test_the_limits_that_seeds_set_are_those_of_the_seeds():
    blocks = {len(split) // BLOCK_SIZE for split in SPLITS.values()}
    assert (Range(0, blocks.pop() - 1), Range(1, MAX_LAYOUTS), Range(0, BLOCK_SIZE)) == (BLOCK, LAYOUTS, CELL)
    assert not blocks
    assert RANGES["sites"].most == MAX_SITES


@pytest.mark.parametrize(
    ("limit", "inside", "outside", "text"),
    [
        (Range(1, 3), [1, 2, 3], [0, 4, math.nan, math.inf], "1 to 3"),
        (Range(0.0, 1.0, below=True), [0.0, 0.999], [1.0, -1e-9, math.nan], "at least 0.0 and less than 1.0"),
        (Range(0.0, 1.0, above=True), [1e-9, 1.0], [0.0, 1.1, -math.inf], "more than 0.0 and at most 1.0"),
    ],
)
def test_a_range_holds_its_ends_unless_it_says_otherwise(limit, inside, outside, text):
    assert str(limit) == text
    for value in inside:
        limit.check("size", value)
    for value in outside:
        with pytest.raises(UsageError) as error:
            limit.check("size", value)
        assert str(error.value) == f"size is {value}, expected {text}"


@pytest.mark.parametrize("digits", ["٣", "9" * 3000, "9" * 31, "-" + "9" * 100])
def test_digits_of_other_scripts_and_endless_ones_are_no_numbers(digits, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flag = runpy.run_path(str(SCRIPTS / "evaluate.py"))["main"]
    assert "expected a whole number" in refusal(capsys, partial(flag, ["--num_envs", digits]))
    for word in ([f"num_envs={digits}"], ["--num_envs", digits], [f"agent.confidence_gate={digits}"]):
        assert " in the digits 0 to 9" in refusal(capsys, partial(benchmark, word, NOBODY))


def test_numbers_in_lists_are_checked_one_by_one():
    with pytest.raises(UsageError, match=r"^--executed is 0, expected 1 to 1000$"):
        refuse_arguments(argparse.Namespace(executed=[8, 0]), {})
    refuse_arguments(argparse.Namespace(executed=(8, 4), docs=True, n=None, task="lift"), {})
