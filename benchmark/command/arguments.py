"""Numbers on a command line that make no sense are refused before anything is imported that takes time."""

from __future__ import annotations

import argparse


def refuse_below_one(parser: argparse.ArgumentParser, arguments: argparse.Namespace, *names: str) -> None:
    """Exit by ``parser.error`` where one of ``names`` in ``arguments`` is below 1; None, not given, is fine."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} is {value}, expected at least 1")
