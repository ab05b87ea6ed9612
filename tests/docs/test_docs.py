"""What pages, comments and docstrings point at exists: links with their anchors, paths, commands with their flags."""

from __future__ import annotations

import argparse
import functools
import re
import runpy
import sys
from pathlib import Path

import pytest
from pointers import (
    CHECKOUT,
    FLAG,
    PAGES,
    ROOM,
    SOURCES,
    House,
    page_mistakes,
    source_mistakes,
)


@functools.cache
def flags_of_scripts() -> dict[str, set[str]]:
    """The flags of every script, from its own parser: each is run up to where it would parse."""

    def say_usage(parser: argparse.ArgumentParser, *_: object) -> None:
        raise SystemExit(parser.format_usage())

    flags = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_known_args", say_usage)
        for script in sorted((CHECKOUT / "scripts").glob("*.py")):
            patch.setattr(sys, "argv", [str(script)])
            with pytest.raises(SystemExit) as said:
                runpy.run_path(str(script), run_name="__main__")
            flags[f"scripts/{script.name}"] = set(FLAG.findall(str(said.value)))
    return flags


def fields_in(*modules: str) -> set[str]:
    """Names of the dataclass fields in ``modules``; importing those would take longer than everything else here."""
    return {name for module in modules for name in re.findall(r"^    (\w+): ", (CHECKOUT / module).read_text(), re.M)}


@functools.cache
def house() -> House:
    """This checkout."""
    benchmark = fields_in("benchmark/run/config.py", "agents/arms/settings.py")
    train = fields_in("benchmark/training/settings.py", "agents/training/cfg.py")
    return House(CHECKOUT, flags_of_scripts(), {"scripts/benchmark.py": benchmark, "scripts/train.py": train})


def name_of(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_points_at_exists(page: Path) -> None:
    assert not page_mistakes(page, house())


def test_what_comments_and_messages_point_at_exists() -> None:
    wrong = {name_of(source): found for source in SOURCES if (found := source_mistakes(source, house()))}
    assert not wrong


@pytest.mark.parametrize("folder", ["agents", "benchmark", "tasks"])
def test_every_room_is_in_the_page_of_its_folder(folder: str) -> None:
    rooms = {path.parent.name for path in (CHECKOUT / folder).glob("*/__init__.py")}
    lines = (CHECKOUT / folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert rooms == {row[1] for line in lines if (row := ROOM.match(line))} & rooms


def test_flags_come_from_the_scripts_own_parsers() -> None:
    flags = flags_of_scripts()
    assert flags["scripts/report.py"] == set()
    assert {"--ablation", "--resume"} <= flags["scripts/benchmark.py"]
    assert "--no-held_out" in flags["scripts/evaluate_detector.py"]


def test_settings_come_from_their_dataclasses() -> None:
    assert {"split", "agent", "execute"} <= house().settings["scripts/benchmark.py"]
    assert {"validation", "every"} <= house().settings["scripts/train.py"]
