"""Units that workers have given up are gaps that results show, and a resume tries them again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.run import carry_out
from flow_rag_vla.benchmark.run.resume import reopened, resume_benchmark
from flow_rag_vla.benchmark.run.waiting_units import opened_bench
from flow_rag_vla.benchmark.workers.launch import Launch
from flow_rag_vla.benchmark.workers.unit_queue import UnitQueue

REPORTER: Any = SimpleNamespace(build=lambda run_dir: run_dir / "report", table=lambda run_dir: "")
RESULTS = ("summary.json", "merged/episodes.parquet")
WHY = "given up after 3 attempts: ended by signal 9"


@pytest.fixture
def run(start_fake: Callable[..., Path]) -> Path:
    """A whole run with two blocks in each round of E2."""
    return start_fake("rounds=2")


@pytest.fixture
def workers_that_lose(run: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Workers run in this process and give up the units whose ids begin so."""

    def lose(start: str) -> None:
        def run_queue(queue: UnitQueue, on_start, on_done, on_progress, say) -> dict[str, str]:
            given_up: dict[str, str] = {}
            again = reopened(str(run))
            with (run / "log.txt").open("a") as log, opened_bench(again, again.barriers(), log) as bench:
                while (task := queue.take()) is not None:
                    on_start(task)
                    if task.startswith(start):
                        queue.give_up(task)
                        given_up[task] = WHY
                        continue
                    unit = queue.unit(task)
                    assert unit is not None
                    bench.run(unit, lambda ended: None)
                    queue.finished(task)
                    on_done(task)
            return given_up

        monkeypatch.setattr(carry_out, "Pool", lambda *arguments: SimpleNamespace(run=run_queue))

    return lose


def unfinish(run: Path, start: str) -> None:
    for done in run.glob(f"units/{start}*/DONE.json"):
        done.unlink()


def test_what_was_given_up_and_what_waited_for_it_are_named_in_the_results(run: Path, workers_that_lose, capfd):
    before = {name: (run / name).read_bytes() for name in RESULTS}
    blocks = {path.name.rpartition("-")[0] for path in (run / "units").iterdir()}
    assert {"r1-parallel-b0", "r1-parallel-b1", "r2-parallel-b0", "r2-parallel-b1"} <= blocks
    unfinish(run, "r1-parallel-b0")
    unfinish(run, "r2")
    workers_that_lose("r1-parallel-b0")
    assert not resume_benchmark(str(run), REPORTER, Launch("2"))
    gaps = read_json_object(run / "summary.json")["gaps"]
    waited = "waits for units that were given up"
    assert [(gap["unit"].rpartition("-")[0], gap["why"]) for gap in gaps] == [
        ("r1-parallel-b0", WHY),
        ("r2-parallel-b0", waited),
        ("r2-parallel-b1", waited),
    ]
    said = capfd.readouterr().out
    assert "episodes are missing, in 3 units" in said
    assert f"finish it with --resume {run}" in said
    missing = sum(gap["episodes"] for gap in gaps)
    planned = sum(len(json.loads(line).get("episodes", ())) for line in (run / "plan.jsonl").read_text().splitlines())
    rows = sum(len((done.parent / "episodes.jsonl").read_text().splitlines()) for done in run.glob("units/*/DONE.json"))
    assert rows == planned - missing

    workers_that_lose("nothing")
    assert resume_benchmark(str(run), REPORTER, Launch("2"))
    assert {name: (run / name).read_bytes() for name in RESULTS} == before
    assert not (run / "gaps.json").exists()
