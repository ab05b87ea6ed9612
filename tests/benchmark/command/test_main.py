"""How commands end: exit codes, one line for what went wrong, and help that waits for nothing."""

from __future__ import annotations

import os
import runpy
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flow_rag_vla.benchmark.command.arguments import CommandParser, OverridesParser
from flow_rag_vla.benchmark.command.errors import (
    ExitCode,
    IncompleteError,
    UsageError,
    resume_flag,
    usage_errors,
)
from flow_rag_vla.benchmark.command.main import run_command
from flow_rag_vla.benchmark.command.quiet_run import quiet_run
from flow_rag_vla.benchmark.command.ranges import Range
from flow_rag_vla.tasks.catalogue.registry import get_task

SCRIPTS = sorted((Path(__file__).parents[3] / "scripts").glob("*.py"))


@pytest.fixture
def parser():
    parser = CommandParser("A toy.", prog="scripts/toy.py")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--out", type=Path)
    return parser


def raising(error):
    def body(arguments):
        raise error

    return body


@pytest.mark.parametrize("code", [ExitCode.DONE, ExitCode.GATE_FAILED, ExitCode.INCOMPLETE])
def test_a_body_that_ends_decides_the_exit_code(parser, code, capsys):
    assert run_command(parser, lambda arguments: code, ["--batch", "3"]) == code
    assert capsys.readouterr() == ("", "")


def test_exit_codes_are_what_shells_and_earlier_versions_expect():
    codes = {code.name: int(code) for code in ExitCode}
    assert {name: code for name, code in codes.items() if code < 128} == {
        "DONE": 0,
        "GATE_FAILED": 1,
        "USAGE": 2,
        "INCOMPLETE": 3,
        "DAMAGED": 4,
    }
    assert {code for code in codes.values() if code >= 128} == {129, 130, 138, 143}


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["--batch", "many"], "argument --batch: got 'many', expected a whole number"),
        (["--batch", "0"], "--batch is 0, expected 1 to 9"),
        (["--batch", "7"], "7 is unlucky"),
        (["--out", "/proc/nowhere/out"], "--out /proc/nowhere/out cannot be written: No such file or directory"),
    ],
)
def test_bad_arguments_are_one_line_and_the_body_never_begins(parser, capsys, argv, line):
    def check(arguments):
        if arguments.batch == 7:
            raise UsageError("7 is unlucky")

    with pytest.raises(SystemExit) as stop:
        run_command(
            parser,
            lambda arguments: pytest.fail("begun"),
            argv,
            ranges={"batch": Range(1, 9)},
            check=check,
            files=["out"],
        )
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", f"toy.py: error: {line}\n")


def test_what_does_not_go_together_is_refused_before_a_folder_is_made(parser, tmp_path):
    with pytest.raises(SystemExit):
        run_command(
            parser,
            raising(AssertionError),
            ["--out", str(tmp_path / "new" / "out")],
            check=raising(UsageError("no")),
            files=["out"],
        )
    assert not list(tmp_path.iterdir())


def test_every_mistake_of_the_user_gets_its_line(parser, capsys):
    with pytest.raises(SystemExit) as stop:
        run_command(parser, raising(UsageError("first\nsecond")), [])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "toy.py: error: first\ntoy.py: error: second\n"


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("ours"), RuntimeError("ours")])
def test_an_error_of_ours_is_not_taken_for_bad_usage(parser, error):
    with pytest.raises(type(error), match="ours"):
        run_command(parser, raising(error), [])


def test_only_where_input_is_checked_a_value_error_is_the_users(capsys):
    with pytest.raises(UsageError, match=r"^too small$"), usage_errors():
        raise ValueError("too small")
    with pytest.raises(UsageError, match=r"^unknown task 'juggle'; available: pick_place "), usage_errors():
        get_task("juggle")
    with pytest.raises(UsageError, match="gone"), usage_errors(OSError):
        raise FileNotFoundError("gone")
    for error in (KeyError("ours"), OSError("ours")):
        with pytest.raises(type(error)), usage_errors():
            raise error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "rows"), "incomplete: [Errno 28] No space left on device: 'rows'"),
        (MemoryError(), "incomplete: out of memory"),
        (
            sqlite3.OperationalError("database or disk\nis full"),
            "incomplete: OperationalError: database or disk is full",
        ),
    ],
)
def test_a_machine_that_gives_out_is_one_line_and_code_3(parser, capsys, error, line):
    assert run_command(parser, raising(error), []) == 3
    assert capsys.readouterr().err == f"toy.py: {line}\n"


def test_the_way_to_go_on_can_be_pasted_into_a_shell():
    assert shlex.split(resume_flag(Path("it's a $run"))) == ["--resume", "it's a $run"]


def test_an_unknown_name_is_a_lookup_that_failed_and_a_bad_value():
    for kind in (KeyError, ValueError):
        with pytest.raises(kind, match=r"^unknown task 'juggle'; "):
            get_task("juggle")


def test_what_broke_off_is_one_line_and_code_3(parser, capsys):
    assert run_command(parser, raising(IncompleteError("the hub is down; try later")), []) == 3
    assert capsys.readouterr().err == "toy.py: the hub is down; try later\n"


def test_a_page_of_a_long_answer_is_said_and_what_a_terminal_would_act_on_is_escaped(parser, capsys):
    with pytest.raises(SystemExit):
        run_command(parser, raising(UsageError("\n".join(["\x1b[31m" + "x" * 5000] * 100))), [])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "toy.py: error: \\x1b[31m" + "x" * 1995 + "... (3005 characters more)"
    assert lines[-1] == "toy.py: error: and 75 more lines"
    assert len(lines) == 26


def test_a_name_that_no_file_can_have_is_bad_usage_wherever_it_is_used(parser, capsys):
    with pytest.raises(SystemExit) as stop:
        run_command(parser, lambda arguments: ExitCode(Path("x" * 300).exists()), [])
    assert stop.value.code == 2
    assert "cannot be a path: File name too long" in capsys.readouterr().err
    assert run_command(parser, raising(OSError(28, "disk full")), []) == ExitCode.INCOMPLETE


@pytest.mark.parametrize(
    ("stop", "line"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (KeyboardInterrupt("go on with --resume"), "interrupted; go on with --resume"),
    ],
)
def test_an_interrupted_command_says_so_and_how_to_go_on(parser, capsys, stop, line):
    assert run_command(parser, raising(stop), []) == 130
    assert capsys.readouterr().err == f"toy.py: {line}\n"


def test_words_between_the_flags_are_overrides_if_they_have_a_key(capsys):
    parser = OverridesParser("A toy.", prog="toy.py", allow_abbrev=False)
    parser.add_argument("--size")
    arguments = parser.parse(["a.b=1", "--size", "3", "c=x=y"])
    assert (arguments.size, arguments.overrides) == ("3", ["a.b=1", "c=x=y"])
    for word in ("--bogus", "--siz=3", "word"):
        with pytest.raises(UsageError, match=f"unrecognized argument '{word}'; expected a flag of --help or key=value"):
            parser.parse([word])


def test_a_run_that_refuses_leaves_its_traceback_in_the_log(tmp_path):
    with pytest.raises(UsageError, match=r"^no such preset$"), quiet_run(tmp_path / "log"):
        raise ValueError("no such preset")
    log = (tmp_path / "log").read_text()
    assert log.startswith("Traceback")
    assert log.endswith("ValueError: no such preset\n")


PRINTS = """
import sys, time
from flow_rag_vla.benchmark.command.arguments import CommandParser
from flow_rag_vla.benchmark.command.errors import ExitCode
from flow_rag_vla.benchmark.command.main import run_command

def body(arguments):
    {body}
    return ExitCode.DONE

sys.exit(run_command(CommandParser("A toy."), body, []))
"""


@pytest.mark.parametrize(
    ("body", "code", "last"),
    [
        ("print('a line')", 3, ""),
        ("raise BrokenPipeError('of a worker')", 1, "BrokenPipeError: of a worker"),
    ],
)
def test_a_reader_that_has_left_is_no_error_but_another_broken_pipe_is(body, code, last):
    read, write = os.pipe()
    if code == 3:
        os.close(read)
    program = [sys.executable, "-c", PRINTS.format(body=body)]
    result = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == code
    assert result.stderr.strip().rpartition("\n")[2] == last


REQUIRED = {
    "export_dataset.py": ["--out", "new"],
    "compare_memory_sizes.py": ["run", "other"],
    "report.py": ["run"],
    "policy_table.py": ["--networks", "name=file"],
    "training_curve.py": ["run"],
}
"""Arguments without which something else would be wrong, too."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_answers_an_unknown_flag_in_one_line(script, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    # With what some of them require, so that nothing else is wrong.
    required = {
        "calibrate_memory.py": ["run"],
        "compare_memory_sizes.py": ["run", "other"],
        "verify_run.py": ["run"],
        "export_dataset.py": ["--out", "o"],
        "merge.py": ["run", "--out", "o"],
        "report.py": ["run"],
        "policy_table.py": ["--networks", "a=b"],
        "training_curve.py": ["r"],
    }
    monkeypatch.setattr(sys, "argv", [str(script), *required.get(script.name, []), "--bogus"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"{script.name}: error: unrecognized argument")
    assert "--bogus" in err
    assert not list(tmp_path.iterdir())


HELP = """
import contextlib, io, runpy, sys
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text:
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as stop:
            code = stop.code
    loaded = sorted({"torch", "pandas", "isaaclab", "transformers"} & set(sys.modules))
    print(script, code, "usage: " in text.getvalue(), loaded)
"""


def test_every_script_has_a_help_that_waits_for_nothing():
    scripts = [str(script) for script in SCRIPTS]
    program = [sys.executable, "-c", HELP, *scripts]
    result = subprocess.run(program, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == [f"{script} 0 True []" for script in scripts]
