"""The first signal ends a command in order, the second at once, and no child outlives it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STOPS = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138)]

PROGRAM = """
import hashlib, subprocess, sys, time
from pathlib import Path
from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.attached import attached
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.stop_signals import ends_in_time
from flow_rag_vla.benchmark.run.conclusion import work_on_run
from flow_rag_vla.benchmark.scoring.starts import StartClock

def deaf():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def body(arguments):
    run = Path(sys.argv[1])
    with work_on_run(run) as work, StartClock(run) as clock, ends_in_time(clock.note_interrupted, 1.0):
        command = attached("timeit", "-n1", "-r1", "import time; time.sleep(60)")
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        work.console.write(f"{child.pid}\\n")
        WORK

sys.exit(run_command(CommandParser("A toy.", prog="toy.py"), body, []))
"""
WORK = {
    "heeds": "time.sleep(60)",
    "compiles": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "deaf": "deaf()",
}


def started(work: str, run: Path) -> tuple[subprocess.Popen[str], int]:
    """A toy run, and the process id of its child."""
    program = [sys.executable, "-c", PROGRAM.replace("WORK", WORK[work]), str(run)]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup children would ignore it
    try:
        process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    time.sleep(0.3)  # until it is at work
    return process, child


def is_gone(pid: int, within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("name", "code"), STOPS)
def test_a_signal_ends_a_run_in_order_marks_it_and_says_how_to_go_on(name: str, code: int, tmp_path: Path):
    process, child = started("heeds", tmp_path)
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=10)
    assert process.returncode == code
    assert out == f"interrupted; finish it with --resume {tmp_path}\n"
    assert err == f"toy.py: interrupted by {name}\n"
    assert is_gone(child)
    (start,) = json.loads((tmp_path / "starts.json").read_text())["starts"]
    assert start["end"] == "interrupted"


def test_a_compiler_that_hears_nothing_is_ended_in_time_and_the_run_marked(tmp_path: Path):
    process, child = started("compiles", tmp_path)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 143
    assert is_gone(child)
    (start,) = json.loads((tmp_path / "starts.json").read_text())["starts"]
    assert start["end"] == "interrupted"


@pytest.mark.parametrize("work", ["compiles", "deaf"])
def test_the_second_signal_ends_a_command_at_once(work: str, tmp_path: Path):
    process, child = started(work, tmp_path)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert time.monotonic() - begun < 0.9
    assert process.returncode == 143
    assert is_gone(child)


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path):
    process, child = started("heeds", tmp_path)
    process.kill()
    process.communicate()
    assert is_gone(child)


def test_nohup_is_heeded():
    program = (
        "import os, signal\n"
        "from flow_rag_vla.benchmark.command.stop_signals import stop_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stop_signals():\n    os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('still here')"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "still here\n"


def test_handlers_are_given_back():
    from flow_rag_vla.benchmark.command.stop_signals import STOP_SIGNALS, StoppedError, stop_signals

    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with pytest.raises(StoppedError), stop_signals():
        signal.raise_signal(signal.SIGUSR1)
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_a_process_that_a_signal_ended_does_not_wait_for_what_libraries_do_at_their_end():
    program = (
        "import atexit, sys, time\n"
        "from flow_rag_vla.benchmark.command.stop_signals import end_process\n"
        "atexit.register(time.sleep, 60)\n"
        "sys.stdout.write('said')\n"
        "end_process(143)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert (ended.returncode, ended.stdout) == (143, "said")
