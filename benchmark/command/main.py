"""What every script does: parse, refuse what cannot work, run one function, say in one line what went wrong."""

from __future__ import annotations

import errno
import os
import select
import signal
import sqlite3
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from flow_rag_vla.benchmark.command.errors import ExitCode, IncompleteError, UsageError, in_one_line
from flow_rag_vla.benchmark.command.output_path import refuse_unwritable, refuse_unwritable_folder
from flow_rag_vla.benchmark.command.ranges import refuse_arguments
from flow_rag_vla.benchmark.command.stop_signals import StoppedError, stop_signals
from flow_rag_vla.tasks.facts.plain_text import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from flow_rag_vla.benchmark.command.arguments import CommandParser
    from flow_rag_vla.benchmark.command.ranges import Range

_STDOUT = 1

_MOST_LINES, _MOST_CHARACTERS = 25, 2000
"""Of what is said on stderr, and of a line of it."""


def run_command(
    parser: CommandParser,
    body: Callable[[argparse.Namespace], ExitCode],
    argv: Sequence[str],
    *,
    ranges: Mapping[str, Range] = MappingProxyType({}),
    check: Callable[[argparse.Namespace], None] | None = None,
    files: Sequence[str] = (),
    folders: Sequence[str] = (),
) -> ExitCode:
    """Run ``body`` with the arguments in ``argv``; returns its exit code, 3 where it broke off, 128 + N after signal N.

    Errors that none of this explains are ours and keep their traceback.  What takes long to import belongs into
    ``body``, so that help and typos are answered at once.

    Args:
        parser: Of the command.
        body: What the command does.  A ``KeyboardInterrupt`` that it raises may say how to go on.
        argv: The command line.
        ranges: Of numbers that mean something else in this command than ``ranges.RANGES`` says.
        check: Raises ``UsageError`` where arguments do not go together; called before any file is touched.
        files: Arguments that name output files; refused, as are ``folders``, where they cannot be written.
        folders: Arguments that name output folders.

    Raises:
        SystemExit: with 2 after bad usage, with 0 after help, as argparse does.
    """
    try:
        with stop_signals():
            arguments = parser.parse(argv)
            refuse_arguments(arguments, ranges)
            if check is not None:
                check(arguments)
                refuse_arguments(arguments, ranges)  # what was a text is a list of numbers now
            refuse_unwritable(**{name: getattr(arguments, name) for name in files})
            refuse_unwritable_folder(**{name: getattr(arguments, name) for name in folders})
            code = body(arguments)
            sys.stdout.flush()
    except UsageError as error:
        _say(parser, "error: ", str(error))
        raise SystemExit(ExitCode.USAGE) from None
    except IncompleteError as error:
        _say(parser, "", str(error))
        return ExitCode.INCOMPLETE
    except StoppedError as stop:
        _say(parser, "", f"interrupted by {signal.Signals(stop.number).name}{_advice(stop)}")
        return ExitCode(stop.exit_code)
    except KeyboardInterrupt as stop:
        _say(parser, "", f"interrupted{_advice(stop)}")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        if not _nobody_reads():
            raise
        # Or Python complains when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
        return ExitCode.INCOMPLETE
    except (OSError, MemoryError, sqlite3.Error) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            _say(parser, "error: ", f"{error.filename!r} cannot be a path: {error.strerror}")
            raise SystemExit(ExitCode.USAGE) from None
        _say(parser, "", f"incomplete: {in_one_line(error)}")
        return ExitCode.INCOMPLETE
    return code


def _advice(stop: KeyboardInterrupt) -> str:
    return f"; {stop}" if stop.args else ""


def _say(parser: CommandParser, kind: str, text: str) -> None:
    lines = text.split("\n")
    for line in lines[:_MOST_LINES]:
        print(f"{Path(parser.prog).name}: {kind}{shown(line, _MOST_CHARACTERS)}", file=sys.stderr)
    if (more := len(lines) - _MOST_LINES) > 0:
        print(f"{Path(parser.prog).name}: {kind}and {more} more lines", file=sys.stderr)


def _nobody_reads() -> bool:
    """Whether stdout is a pipe whose reader has left: other pipes that break are errors."""
    poll = select.poll()
    poll.register(_STDOUT, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
