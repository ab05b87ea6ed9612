"""Files are written whole, or the old ones stay."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command import atomic_files


def test_canonical_json_sorts_rounds_and_ends_with_a_newline():
    data = atomic_files.to_json_bytes({"b": 0.1 + 0.2, "a": -0.0, "c": (1, None), "d": 1.5e-20})
    assert data == b'{\n "a": 0.0,\n "b": 0.3,\n "c": [\n  1,\n  null\n ],\n "d": 1.5e-20\n}\n'


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_float_that_is_not_finite_is_refused_by_place(value: float):
    with pytest.raises(ValueError, match=r"\$\.a\[1\] is (nan|inf)"):
        atomic_files.to_json_bytes({"a": [0.0, value]})


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path):
    path = tmp_path / "x.json"
    atomic_files.write_json_atomic(path, {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        atomic_files.write_json_atomic(path, {"a": math.nan})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
