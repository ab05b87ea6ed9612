"""Output files of a command are refused before the measurement whose result they are to hold."""

from __future__ import annotations

import argparse
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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            with path.open("ab"):
                pass
            if is_new:
                path.unlink()
        except OSError as error:
            reason = "its folder is a file" if isinstance(error, FileExistsError) else error.strerror
            parser.error(f"--{flag} {path} cannot be written: {reason}")
