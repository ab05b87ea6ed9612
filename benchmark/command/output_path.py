"""Output files and folders of a command are refused before the measurement whose result they are to hold."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_rag_vla.benchmark.command.errors import UsageError


def refuse_unwritable(**paths: Path | None) -> None:
    """Make sure that files can be written; makes missing folders, changes no file.

    Args:
        **paths: Flag, without its dashes, to the file that it names; None for a flag that was not given.

    Raises:
        UsageError: a file cannot be written.
    """
    for flag, path in paths.items():
        if path is None:
            continue
        with _refused(flag, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            with path.open("ab"):
                pass
            if is_new:
                path.unlink()


def refuse_unwritable_folder(**paths: Path | None) -> None:
    """The same for folders in which files are to be made."""
    for flag, path in paths.items():
        if path is None:
            continue
        with _refused(flag, path):
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass


@contextmanager
def _refused(flag: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror
        if isinstance(error, FileExistsError):
            reason = "it is a file" if error.filename == str(path) else "its folder is a file"
        raise UsageError(f"--{flag} {path} cannot be written: {reason}") from None
