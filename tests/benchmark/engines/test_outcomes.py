"""Outcomes in a file."""

from __future__ import annotations

import json

import pytest

from flow_rag_vla.benchmark.engines.outcomes import EpisodeEnd, World, read_outcomes, write_outcomes
from flow_rag_vla.benchmark.episodes.records import Outcome

WORLD = World.of({"solref": (0.007, 1.0), "cone": "elliptic"}, {"mujoco": "3.3"})


def test_a_file_gives_back_what_was_written(played, tmp_path):
    cells = [played("newton_mujoco", "sfi", mm=(0.123, 2.5, None)), played("newton_mjwarp", "")]
    path = tmp_path / "outcomes.json"
    write_outcomes(path, WORLD, cells, command="compare", comparison=[])
    assert read_outcomes(path) == (WORLD, cells)
    assert json.loads(path.read_text())["command"] == "compare"


def test_worlds_differ_in_what_has_another_value_or_is_missing():
    other = World.of({"solref": [0.007, 1.0], "cone": "pyramidal"}, {"mujoco": "3.3", "newton": "1.0"})
    assert not WORLD.differences(WORLD)
    assert WORLD.differences(other) == ["cone pyramidal, here elliptic", "newton 1.0, here None"]


def test_an_end_says_why_an_episode_failed_or_was_invalid(e1, dropped):
    assert EpisodeEnd.of(e1("a", penetration_mm=0.5)) == EpisodeEnd("a", Outcome.SUCCESS, 0.5, None)
    assert EpisodeEnd.of(dropped("b")) == EpisodeEnd("b", Outcome.FAILURE, None, "drop")
    broken = e1("c", outcome="invalid", invalid_reason="pads sank in: raise num_substeps")
    assert EpisodeEnd.of(broken) == EpisodeEnd("c", Outcome.INVALID, None, "pads sank in: raise num_substeps")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[]", "holds a JSON list, expected an object"),
        ("{", "not valid JSON"),
        ('{"tasks": 3}', "schema_version is None, expected 1"),
        ('{"schema_version": 1, "cells": [{}]}', "not a file that scripts/compare_engines.py wrote: 'physics'"),
        ('{"schema_version": 1, "cells": 3}', "not a file that scripts/compare_engines.py wrote"),
    ],
)
def test_other_files_are_refused_by_name_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=complaint) as refusal:
        read_outcomes(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json cannot be read: No such file or directory"):
        read_outcomes(tmp_path / "none.json")
