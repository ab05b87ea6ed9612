"""Configurations that take only the settings that they declare: Isaac Lab's command line sets whatever it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any


class Declared:
    """A base of configuration classes; to set anything else in one is an error that says what there is."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set the field ``name``; raises ``AttributeError`` where there is none."""
        known = _names(self)
        if name not in known:
            raise AttributeError(f"{type(self).__name__} has no setting {name!r}; available: {', '.join(known)}")
        super().__setattr__(name, value)


def refuse_undeclared(cfg: Any, called: str) -> None:
    """Look for such settings in the configurations inside ``cfg``, which are not ours.

    Raises:
        AttributeError: naming the first of them, under ``called``, and what there is beside it.
    """
    for path, inner, name in _undeclared(cfg, called):
        raise AttributeError(f"{path} has no setting {name!r}; available: {', '.join(_names(inner))}")


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
