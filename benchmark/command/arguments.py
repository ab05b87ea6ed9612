"""Command lines: a parser that answers in one line, the arguments that commands share, words that nobody means."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flow_rag_vla.benchmark.command.errors import UsageError
from flow_rag_vla.tasks.facts.plain_text import hides_something, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_MOST_CHARACTERS = 4096
"""Of an argument: as many as a path may have."""

_MOST_DIGITS = 30


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
        self.register("type", int, whole_number)
        self.register("type", float, number)

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageError(message)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The arguments in ``argv``.

        Raises:
            UsageError: there is something wrong with them.
            SystemExit: help was asked for and given.
        """
        _refuse_unreadable(argv)
        return self.parse_args(argv)


class OverridesParser(CommandParser):
    """Takes ``key=value`` words between its flags, too; they are the list ``overrides`` of the arguments."""

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """As above."""
        _refuse_unreadable(argv)
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


def whole_number(text: str) -> int:
    """What ``text`` says in the digits 0 to 9; raises ``ArgumentTypeError`` where it is no whole number."""
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > _MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"got {shown(text, 60)!r}, expected a whole number")
    return int(text)


def whole_numbers(flag: str, text: str) -> list[int]:
    """The whole numbers of a comma list given to ``flag``; raises ``UsageError`` where a word is none."""
    try:
        return [whole_number(word) for word in comma_list(text)]
    except argparse.ArgumentTypeError:
        raise UsageError(f"{flag}: expected whole numbers such as 3,4,5, got {text!r}") from None


def number(text: str) -> float:
    """The same for a number that need not be whole; NaN and infinity are left to the ranges."""
    try:
        return float(text.encode("ascii"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {shown(text, 60)!r}, expected a number") from None


def numbers(flag: str, text: str) -> list[float]:
    """The numbers of a comma list given to ``flag``; errors as in ``whole_numbers``."""
    try:
        return [number(word) for word in comma_list(text)]
    except argparse.ArgumentTypeError:
        raise UsageError(f"{flag}: expected numbers such as 10,20, got {text!r}") from None


def comma_list(text: str) -> tuple[str, ...]:
    """The words of ``text`` between its commas; spaces around them do not count."""
    return tuple(word.strip() for word in text.split(","))


def add_fields(parser: argparse.ArgumentParser, defaults: DataclassInstance) -> None:
    """A flag for every number in ``defaults``, called like it."""
    for item in dataclasses.fields(defaults):
        default = getattr(defaults, item.name)
        parser.add_argument(f"--{item.name}", default=default, type=type(default))


def fields_of[T: DataclassInstance](kind: type[T], arguments: argparse.Namespace) -> T:
    """A ``kind`` of the arguments that are called like its fields; others are left out."""
    return kind(**{item.name: getattr(arguments, item.name) for item in dataclasses.fields(kind)})


def _refuse_unreadable(argv: Sequence[str]) -> None:
    """Refuse arguments that nobody means: empty ones, far too long ones, and those that terminals would act on."""
    for before, word in itertools.pairwise(["the command line", *argv]):
        flag, _, value = word.partition("=")
        if not word.strip() or (word.startswith("--") and "=" in word and not value.strip()):
            raise UsageError(f"{flag.strip() or before} is given an empty text, expected a value")
        if len(word) > _MOST_CHARACTERS:
            raise UsageError(f"{word[:40]!r}... has {len(word)} characters, expected at most {_MOST_CHARACTERS}")
        if hides_something(word):
            raise UsageError(f"argument {word!r} holds control characters, expected a text that can be read")
