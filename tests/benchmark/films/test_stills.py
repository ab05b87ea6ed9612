"""Stills are of the run's own episodes, and only of those that end as recorded when they are played again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord
from flow_rag_vla.benchmark.films.stills import keep_stills, take_stills
from flow_rag_vla.benchmark.run.conclusion import has_stills
from flow_rag_vla.benchmark.scoring.repeats import Exemplar
from flow_rag_vla.benchmark.scoring.results import Stills

Factory = Callable[..., EpisodeRecord]


@pytest.fixture
def candidates(dropped: Factory, again: Factory, same_failure_fields: dict) -> list[Exemplar]:
    first = [dropped("s0"), dropped("s1")]
    twin = again(first[1], "parallel", candidate="grip_up_2", steps=118)
    return [
        Exemplar(again(first[0], "flow_only", **same_failure_fields), None, 2, 5),
        Exemplar(again(first[1], "flow_only", **same_failure_fields), twin, 2, 5),
    ]


def grey(level: int) -> np.ndarray:
    return np.full((4, 6, 3), level, dtype=np.uint8)


def test_the_first_failure_that_comes_back_is_kept_with_its_twin(candidates: list[Exemplar], tmp_path: Path):
    frames = {candidates[1].repeated: grey(10), candidates[1].resolved: grey(20)}
    stills = keep_stills(tmp_path, candidates, frames.get)
    assert [still.file for still in stills] == ["still-repeated.png", "still-resolved.png"]
    assert (iio.imread(tmp_path / "report/figures/still-repeated.png") == 10).all()
    assert (iio.imread(tmp_path / "report/figures/still-resolved.png") == 20).all()
    for said in ("2 of 5", "slippery_object, drop in carry", "flow_only", "NEAR"):
        assert said in stills[0].caption
    assert "parallel" in stills[1].caption
    assert "advised grip_up_2: success after 118 steps" in stills[1].caption


def test_a_twin_that_ends_otherwise_is_left_out(candidates: list[Exemplar], tmp_path: Path):
    stills = keep_stills(tmp_path, candidates[1:], {candidates[1].repeated: grey(10)}.get)
    assert [still.file for still in stills] == ["still-repeated.png"]


def test_episodes_that_end_otherwise_leave_no_stills(candidates: list[Exemplar], tmp_path: Path):
    assert keep_stills(tmp_path, candidates, lambda record: None) == []
    assert not list(tmp_path.iterdir())


def test_a_run_in_which_nothing_repeats_is_not_played_again(unscored_run: Path):
    (folder,) = (unscored_run / "units").glob("r1-flow_only-*")
    rows = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    elsewhere = [row | {"failure_type": "timeout"} for row in rows]
    text = "".join(json.dumps(row) + "\n" for row in elsewhere)
    (folder / "episodes.jsonl").write_text(text)
    done = json.loads((folder / "DONE.json").read_text()) | {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    (folder / "DONE.json").write_text(json.dumps(done))
    assert not has_stills(unscored_run)
    assert take_stills(unscored_run) == Stills([])
    assert has_stills(unscored_run)
