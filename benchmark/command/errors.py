"""How a command ends: its exit codes, and the errors that one line can explain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


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
    INTERRUPTED = 130


class UsageError(ValueError):
    """Bad input: its message names what was got, what was expected and what is available; a line each mistake."""


class IncompleteError(Exception):
    """A command cannot finish, through no mistake in its arguments; one line says why and how to go on."""


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
