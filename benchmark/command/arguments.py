"""Command lines: a parser that answers in one line, the arguments that commands share, numbers that make no sense."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flow_rag_vla.benchmark.command.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class CommandParser(argparse.ArgumentParser):
    """Raises ``UsageError`` instead of printing its usage: all mistakes reach the user through ``run_command``."""

    def __init__(
        self,
        description: str | None,
        formatter_class: type[argparse.HelpFormatter] = argparse.RawDescriptionHelpFormatter,
        **options: Any,
    ) -> None:
        """``description`` is the script's docstring, shown as it is written; ``options`` are argparse's."""
        super().__init__(description=description, formatter_class=formatter_class, **options)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError(message)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The arguments in ``argv``.

        Raises:
            UsageError: there is something wrong with them.
            SystemExit: help was asked for and given.
        """
        return self.parse_args(argv)


class OverridesParser(CommandParser):
    """Takes ``key=value`` words between its flags, too; they are the list ``overrides`` of the arguments."""

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """As above."""
        arguments, overrides = self.parse_known_args(argv)
        for word in overrides:
            if word.startswith("-") or "=" not in word:
                self.error(f"unrecognized argument {word!r}; expected a flag of --help or key=value")
        arguments.overrides = overrides
        return arguments


def add_physics_and_device(parser: argparse.ArgumentParser) -> None:
    """Where and by which solver a fleet is simulated."""
    parser.add_argument("--physics", default="auto", help="physics preset (default: the one for the device)")
    parser.add_argument("--device", default="auto", help="cpu or cuda:N (default: cuda:0 if there is one)")


def add_json_and_log(parser: argparse.ArgumentParser, log: str) -> None:
    """Where results go, and where the chatter of the simulator does (``log`` by default)."""
    parser.add_argument("--json", type=Path, help="write the results into this file")
    parser.add_argument("--log", type=Path, default=Path(log), help=f"output of the simulator (default: {log})")


def comma_list(text: str) -> tuple[str, ...]:
    """The words of ``text`` between its commas."""
    return tuple(word.strip() for word in text.split(","))


def add_fields(parser: argparse.ArgumentParser, defaults: DataclassInstance) -> None:
    """A flag for every number in ``defaults``, called like it."""
    for item in dataclasses.fields(defaults):
        default = getattr(defaults, item.name)
        parser.add_argument(f"--{item.name}", default=default, type=type(default))


def fields_of[T: DataclassInstance](kind: type[T], arguments: argparse.Namespace) -> T:
    """A ``kind`` of the arguments that are called like its fields; others are left out."""
    return kind(**{item.name: getattr(arguments, item.name) for item in dataclasses.fields(kind)})


def refuse_below(least: int, arguments: argparse.Namespace, *names: str) -> None:
    """Check numbers before anything is imported that takes time; None, not given, is fine.

    Raises:
        UsageError: one of ``names`` in ``arguments`` is below ``least``.
    """
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} is {value}, expected at least {least}")
