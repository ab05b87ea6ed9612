"""Worker processes are replaced when they crash, hang or run out of memory, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flow_rag_vla.benchmark.command.atomic_files import read_json_object
from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.benchmark.workers.incidents import Incidents
from flow_rag_vla.benchmark.workers.launch import Launch
from flow_rag_vla.benchmark.workers.pool import Limits, Pool, failure_message, worker_environment
from flow_rag_vla.benchmark.workers.processes import ChildProcess
from flow_rag_vla.benchmark.workers.unit_queue import PROBE, UnitQueue

ACTING = str(Path(__file__).parent / "acting_worker.py")


def unit(name: str, *, round: int = 1, needs: tuple[str, ...] = ()) -> Any:  # noqa: A002 (a unit's word)
    return SimpleNamespace(id=name, round=round, episodes=(0, 0), needs=needs)


class _NoMemories:
    """Units need what they name, and no memory is merged."""

    def __init__(self, units: list[Any]) -> None:
        self._units = {unit.id: unit for unit in units}

    def needed_by(self, unit: Any) -> tuple[Any, ...]:
        return tuple(self._units[name] for name in unit.needs)

    def before(self, unit: Any) -> None:
        del unit


def queue_of(*units: Any, probe: bool = False, probe_before_e2: bool = False) -> UnitQueue:
    memories: Any = _NoMemories(list(units))
    return UnitQueue(units, memories, lambda unit: False, probe=probe, probe_before_e2=probe_before_e2)


@pytest.fixture
def ran(tmp_path: Path) -> Callable[..., tuple[dict[str, str], list[str], list[str]]]:
    """Runs units with ``workers``; returns what was given up, what was done, and what was said."""

    def run(queue: UnitQueue, workers: int = 1) -> tuple[dict[str, str], list[str], list[str]]:
        pool = Pool(
            lambda device, num_envs: ChildProcess(
                [sys.executable, ACTING, str(tmp_path), str(num_envs), str(os.getpid())], {}, tmp_path / "log.txt"
            ),
            ["cpu"] * workers,
            8,
            Incidents(tmp_path),
            Limits(attempts=2, start_s=60.0, stall_s=2.0),
        )
        done: list[str] = []
        said: list[str] = []
        return pool.run(queue, lambda task: None, done.append, lambda n, note: None, said.append), done, said

    return run


@pytest.mark.parametrize("workers", [1, 3])
def test_every_unit_runs_once_after_those_that_it_needs(ran, tmp_path: Path, workers: int):
    units = [unit("e1", round=0), *(unit(f"u{i}", needs=("e1",)) for i in range(4)), unit("free")]
    given_up, done, said = ran(queue_of(*units, probe=True), workers)
    assert (given_up, said) == ({}, [])
    assert sorted(done) == sorted([*(u.id for u in units), PROBE])
    assert max(done.index("e1"), done.index("e1")) < min(done.index(f"u{i}") for i in range(4))
    assert all(len((tmp_path / u.id).read_text().splitlines()) == 1 for u in units)


def test_a_unit_whose_worker_crashed_is_run_again_in_a_fresh_process(ran, tmp_path: Path):
    given_up, done, said = ran(queue_of(unit("once")))
    assert (given_up, done) == ({}, ["once"])
    first, second = (line.split()[0] for line in (tmp_path / "once").read_text().splitlines())
    assert first != second
    assert said == ["worker on cpu, once: ended by signal 9; tried again in a fresh process (attempt 2 of 2)"]


@pytest.mark.parametrize(("name", "what"), [("crash", "ended by signal 9"), ("hang", "not a word for 2 s")])
def test_what_fails_again_and_again_is_given_up_and_all_else_still_runs(ran, tmp_path: Path, name: str, what: str):
    units = [unit(name), unit("waits", needs=(name,)), unit("other")]
    given_up, done, _ = ran(queue_of(*units))
    assert (given_up, done) == ({name: f"given up after 2 attempts: {what}"}, ["other"])
    incidents = read_json_object(tmp_path / "incidents.json")["incidents"]
    assert [(i["task"], i["what"]) for i in incidents] == [(name, what)] * 2
    assert incidents[-1]["answer"] == "given up after 2 attempts"


def test_a_gpu_that_is_too_small_gets_half_the_environments_until_they_fit(ran, tmp_path: Path):
    given_up, done, _ = ran(queue_of(unit("large")))
    assert (given_up, done) == ({}, ["large"])
    assert [line.split()[1] for line in (tmp_path / "large").read_text().splitlines()] == ["8", "4", "2"]
    assert [i["num_envs"] for i in read_json_object(tmp_path / "incidents.json")["incidents"]] == [4, 2]


def test_latency_that_e2_simulates_is_measured_between_e1_and_e2():
    queue = queue_of(unit("e1", round=0), unit("u"), probe=True, probe_before_e2=True)
    assert (queue.take(), queue.take()) == ("e1", None)
    queue.finished("e1")
    assert (queue.take(), queue.take()) == (PROBE, None)
    queue.finished(PROBE)
    assert (queue.take(), queue.take()) == ("u", None)


def test_decisions_are_timed_when_nothing_else_runs():
    queue = queue_of(unit("e1", round=0), unit("u"), probe=True)
    assert (queue.take(), queue.take(), queue.take()) == ("e1", "u", None)
    queue.finished("e1")
    assert queue.take() is None
    queue.finished("u")
    assert queue.take() == PROBE


def test_a_unit_that_had_run_runs_again_if_what_it_needs_taught_something_else():
    now_done = {"u"}
    memories: Any = _NoMemories([e1 := unit("e1", round=0), u := unit("u", needs=("e1",))])
    queue = UnitQueue([e1, u], memories, lambda unit: unit.id in now_done, probe=False)
    assert queue.waiting == [e1]
    assert queue.take() == "e1"
    now_done.clear()  # the memory is another one now
    queue.finished("e1")
    assert queue.take() == "u"


def test_a_shard_waits_for_anothers_unit_that_must_run_again():
    now_done = {"u", "v"}
    units = [e1 := unit("e1", round=0), unit("u", needs=("e1",)), unit("v", needs=("e1",)), unit("w", needs=("u",))]
    memories: Any = _NoMemories(units)
    queue = UnitQueue(units, memories, lambda unit: unit.id in now_done, probe=False, only={"e1", "v", "w"})
    assert queue.waiting == [e1, units[3]]
    assert queue.take() == "e1"
    now_done.clear()  # the memory is another one now
    queue.finished("e1")
    assert (queue.take(), queue.take()) == ("v", None)


def test_a_unit_that_had_run_waits_for_the_latency_that_it_may_not_have_simulated():
    now_done = {"e1", "u", "v"}
    units = [unit("e1", round=0), unit("u"), unit("v")]
    memories: Any = _NoMemories(units)
    queue = UnitQueue(
        units, memories, lambda unit: unit.id in now_done, probe=True, probe_before_e2=True, only={"u", "v"}
    )
    assert (queue.done, queue.take()) == ({"e1"}, PROBE)
    now_done.remove("v")  # decisions take longer now
    queue.finished(PROBE)
    assert (queue.take(), queue.done) == ("v", {"e1", PROBE, "u"})


def test_a_worker_ends_with_its_parent(tmp_path: Path):
    program = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, {ACTING!r}, {str(tmp_path)!r}, '1', str(os.getpid())],\n"
        "    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)\n"
        "child.stdout.readline()\n"
        "child.stdin.write(b'hang\\n'); child.stdin.flush()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived its parent by 10 s")


def test_cores_are_used_once():
    assert worker_environment(4, 16, 2)["FLOW_RAG_VLA_PHYSICS_THREADS"] == "4"
    assert worker_environment(4, 2, 2)["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("text", ["CUDA out of memory. Tried 2 GiB", "Failed to allocate 9 bytes on cuda:0"])
def test_running_out_of_memory_is_told_from_other_errors(text: str):
    assert failure_message(RuntimeError(text))["out_of_memory"]
    assert failure_message(KeyError("x")) == {"failed": "KeyError: 'x'", "out_of_memory": False}


@pytest.mark.parametrize(
    ("workers", "devices", "complaint"),
    [
        ("0", (), "--workers got '0', expected a number from 1 to 9999 or auto"),
        ("٣", (), "expected a number from 1 to 9999 or auto"),
        ("3", ("cuda:0", "cuda:1"), "expected one worker each"),
        ("1", ("cpu", "cpu"), "expected each once"),
    ],
)
def test_workers_that_make_no_sense_are_refused(workers: str, devices: tuple[str, ...], complaint: str):
    with pytest.raises(UsageError, match=complaint):
        Launch(workers, devices)


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="expected devices like the run's, which is cuda:0"):
        Launch(devices=("cpu",)).devices_of_workers("cuda:0", 1)
    with pytest.raises(UsageError, match="--devices cuda:77: no such device here; available: cpu"):
        Launch(devices=("cuda:77",)).devices_of_workers("cpu", 1)
