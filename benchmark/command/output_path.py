"""Output files and folders of a command are refused before the measurement whose result they are to hold."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def refuse_unwritable(parser: argparse.ArgumentParser, **paths: Path | None) -> None:
    """Exit by ``parser.error`` where a file cannot be written; makes missing folders, changes no file.

    Args:
        parser: The command's.
        **paths: Flag, without its dashes, to the file that it names; None for a flag that was not given.
    """
    for flag, path in paths.items():
        if path is None:
            continue
        with _refused(parser, flag, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            with path.open("ab"):
                pass
            if is_new:
                path.unlink()


def refuse_unwritable_folder(parser: argparse.ArgumentParser, **paths: Path | None) -> None:
    """The same for folders in which files are to be made."""
    for flag, path in paths.items():
        if path is None:
            continue
        with _refused(parser, flag, path):
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass


@contextmanager
def _refused(parser: argparse.ArgumentParser, flag: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror
        if isinstance(error, FileExistsError):
            reason = "it is a file" if error.filename == str(path) else "its folder is a file"
        parser.error(f"--{flag} {path} cannot be written: {reason}")
