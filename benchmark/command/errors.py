"""How a command ends: its exit codes, and the errors that one line can explain."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """What a command tells its shell."""

    DONE = 0
    GATE_FAILED = 1
    """It measured, and what it found is not good enough; also what Python answers an error of ours with."""
    USAGE = 2
    INCOMPLETE = 3
    """Something broke on the way or is missing, which the user can mend; what is done is kept."""
    DAMAGED = 4
    """Files that were checked do not agree."""
    HUNG_UP = 129
    """As shells do, 128 and the signal that ended it: a closed terminal, Ctrl-C, Slurm's warning, a job's end."""
    INTERRUPTED = 130
    PREEMPTED = 138
    TERMINATED = 143


class UsageError(ValueError):
    """Bad input: its message names what was got, what was expected and what is available; a line each mistake."""


class IncompleteError(Exception):
    """A command cannot finish, through no mistake in its arguments; one line says why and how to go on."""


def in_one_line(error: Exception) -> str:
    """What ``error`` says; where that would not be understood without the kind of error, the kind, too."""
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, BrokenPipeError):
        return "nobody reads the output any more"
    text = " ".join(str(error).split())
    speaks = isinstance(error, (IncompleteError, ValueError, RuntimeError, OSError, LookupError, ArithmeticError))
    return text if speaks and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def resume_flag(folder: Path) -> str:
    """What finishes the run in ``folder``, to be pasted into a shell."""
    return shlex.join(["--resume", str(folder)])


@contextmanager
def usage_errors(*others: type[Exception]) -> Iterator[None]:
    """A ``ValueError`` in this block, or one of ``others``, is the user's doing: it leaves as a ``UsageError``.

    For calls that check what the user gave; elsewhere a ``ValueError`` is an error of ours and keeps its traceback.
    """
    try:
        yield
    except (UsageError, BrokenPipeError):
        raise
    except (ValueError, *others) as error:
        raise UsageError(str(error)) from error
