"""Configurations that take only the settings that they declare: Isaac Lab's command line sets whatever it is given."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any


class UndeclaredError(AttributeError):
    """A setting that nobody has declared; where nobody catches it, it ends the command with one line and code 2."""


_say_error = sys.excepthook


def _say_undeclared(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The commands are Isaac Lab's, which let it pass: its user has mistyped a word and needs no traceback."""
    if not issubclass(kind, UndeclaredError):
        _say_error(kind, error, trace)
        return
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


sys.excepthook = _say_undeclared


class Declared:
    """A base of configuration classes; to set anything else in one is an error that says what there is."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set the field ``name``; raises ``UndeclaredError`` where there is none."""
        known = _names(self)
        if name not in known:
            raise UndeclaredError(f"{type(self).__name__} has no setting {name!r}; available: {', '.join(known)}")
        super().__setattr__(name, value)


def refuse_undeclared(cfg: Any, called: str) -> None:
    """Look for such settings in the configurations inside ``cfg``, which are not ours.

    Raises:
        UndeclaredError: naming the first of them, under ``called``, and what there is beside it.
        SystemExit: instead of it, where Isaac Lab's command line runs, which has been told.
    """
    for path, inner, name in _undeclared(cfg, called):
        error = UndeclaredError(f"{path} has no setting {name!r}; available: {', '.join(_names(inner))}")
        if _in_command():
            # Its launcher prints the traceback of any error that passes.
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2)
        raise error


def _in_command() -> bool:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "isaaclab.__main__"


def _undeclared(cfg: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    known = _names(cfg)
    for name, value in vars(cfg).items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            # Declared or not: a scene takes assets, such as a camera, that are added to it.
            yield from _undeclared(value, f"{path}.{name}")
        elif name not in known and not name.startswith("_"):  # which are Isaac Lab's own
            yield path, cfg, name


def _names(cfg: Any) -> list[str]:
    return [item.name for item in dataclasses.fields(cfg)]
