"""Configurations that take only settings and values that they declare: Isaac Lab's command line sets anything."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from flow_rag_vla.tasks.facts.setting_values import why_wrong


class UndeclaredError(AttributeError):
    """A setting that nobody has declared; where nobody catches it, it ends the command with one line and code 2."""


class WrongValueError(ValueError):
    """A setting that was given what it cannot be; ends the command in the same way."""


_say_error = sys.excepthook


def _say_undeclared(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The commands are Isaac Lab's, which let it pass: its user has mistyped a word and needs no traceback."""
    said = str(error) if issubclass(kind, UndeclaredError | WrongValueError) else _no_such_path(error, trace)
    if said is None:
        _say_error(kind, error, trace)
        return
    print(f"error: {said}", file=sys.stderr)
    raise SystemExit(2)


def _no_such_path(error: BaseException, trace: TracebackType | None) -> str | None:
    """What to say where ``env.sim.dt.x=3`` leads through what has no settings; None where it is another error."""
    if not isinstance(error, AttributeError | KeyError | TypeError | IndexError):
        return None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_globals.get("__name__") != "isaaclab_tasks.utils.hydra":
        return None
    there = trace.tb_frame.f_locals
    return f"{there['path']}={there['val']}: {error}" if {"path", "val"} <= there.keys() else None


sys.excepthook = _say_undeclared


class Declared:
    """A base of configuration classes; to set anything else in one is an error that says what there is."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set the field ``name``; raises ``UndeclaredError`` where there is none, else ``WrongValueError``."""
        known = _names(self)
        if name not in known:
            raise UndeclaredError(f"{type(self).__name__} has no setting {name!r}; available: {', '.join(known)}")
        if name in vars(self) and (off := why_wrong(type(self), name, value)):  # what it begins with is its own affair
            raise WrongValueError(f"{type(self).__name__}.{off}")
        super().__setattr__(name, value)


def refuse_undeclared(cfg: Any, called: str) -> None:
    """Look for such settings and values in the configurations inside ``cfg``, which are not ours.

    Raises:
        UndeclaredError: naming the first of them, under ``called``, and what there is beside it.
        WrongValueError: naming the first setting with a value that it cannot have.
        SystemExit: instead of them, where Isaac Lab's command line runs, which has been told.
    """
    for error in _off(cfg, called):
        if _in_command():
            # Its launcher prints the traceback of any error that passes.
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2)
        raise error


def _in_command() -> bool:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "isaaclab.__main__"


def _off(cfg: Any, path: str) -> Iterator[UndeclaredError | WrongValueError]:
    known = _names(cfg)
    for name, value in vars(cfg).items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            # Declared or not: a scene takes assets, such as a camera, that are added to it.
            yield from _off(value, f"{path}.{name}")
        elif name in known:
            if off := why_wrong(type(cfg), name, value):
                yield WrongValueError(f"{path}.{off}")
        elif not name.startswith("_"):  # which are Isaac Lab's own
            yield UndeclaredError(f"{path} has no setting {name!r}; available: {', '.join(known)}")


def _names(cfg: Any) -> list[str]:
    return [item.name for item in dataclasses.fields(cfg)]
