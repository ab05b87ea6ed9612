"""Which values a field of somebody's configuration class can have, from what its annotation says of plain ones."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

_PLAIN: dict[type, str] = {bool: "true or false", int: "an integer", float: "a number", str: "text"}

_POSITIVE, _COUNT, _SHARE = (math.ulp(0.0), math.inf), (1, math.inf), (0.0, 1.0)
RANGES: dict[str, tuple[float, float]] = {
    "dt": _POSITIVE,
    "decimation": _COUNT,
    "render_interval": _COUNT,
    "episode_length_s": _POSITIVE,
    "descent_lead_m": _POSITIVE,
    "num_envs": _COUNT,
    "seed": (-1, 2**32 - 1),
    "max_iterations": _COUNT,
    "num_steps_per_env": _COUNT,
    "save_interval": _COUNT,
    "num_learning_epochs": _COUNT,
    "num_mini_batches": _COUNT,
    "learning_rate": _POSITIVE,
    "clip_param": _POSITIVE,
    "gamma": _SHARE,
    "lam": _SHARE,
}
"""What numbers of these names can be, wherever they are; their annotations say no more than that they are numbers."""


def why_wrong(owner: type, name: str, value: object) -> str:
    """What is wrong with ``value`` for the field ``name`` of ``owner``, got and expected; empty for nothing.

    Only what annotations of plain values say is looked at: whatever else stands there takes anything.
    """
    hint = _hint(owner, name)
    if not _fits(value, hint):
        return f"{name} is {value!r}, expected {_told(hint)}"
    if not isinstance(value, int | float):
        return ""
    if math.isnan(value):
        return f"{name} is {value!r}, expected {_told(hint)}"
    if name in RANGES and not (RANGES[name][0] <= value <= RANGES[name][1] and math.isfinite(value)):
        return f"{name} is {value!r}, expected {_bounds(*RANGES[name])}"
    return ""


def _bounds(low: float, high: float) -> str:
    if math.isfinite(high):
        return f"from {low} to {high}"
    return f"at least {low}" if low == 1 else "more than 0 and finite"


@functools.cache
def _hint(owner: type, name: str) -> Any:
    """The annotation of the first class that has one which can be read there; ``Any`` without one.

    Isaac Lab's ``configclass`` copies annotations into other modules, which may not know their names.
    """
    for base in owner.__mro__:
        if name in (written := vars(base).get("__annotations__", {})):
            alone = type("Alone", (), {"__annotations__": {name: written[name]}})
            with contextlib.suppress(NameError, TypeError, AttributeError, KeyError):
                return typing.get_type_hints(alone, vars(sys.modules[base.__module__]), dict(vars(base)))[name]
    return Any


def _fits(value: object, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if hint in (None, types.NoneType):
        return value is None
    if hint in _PLAIN:
        kinds = (int, float) if hint is float else (hint,)
        return _is_unset(value) or (isinstance(value, kinds) and (hint is bool or not isinstance(value, bool)))
    if isinstance(origin or hint, type) and issubclass(origin or hint, list | tuple | Sequence):
        if not isinstance(value, Collection) or isinstance(value, str | Mapping):
            return _is_unset(value)
        if (origin or hint) is tuple and inner and inner[-1] is not Ellipsis:
            return len(value) == len(inner) and all(map(_fits, value, inner))
        return all(_fits(one, inner[0]) for one in value) if inner else True
    return True


def _is_unset(value: object) -> bool:
    """Whether nobody has said yet what it is (``dataclasses.MISSING``), or it is a class of somebody's own."""
    return not isinstance(value, bool | int | float | complex | str | bytes | Collection | types.NoneType)


def _told(hint: Any) -> str:
    inner = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_told(one) for one in inner)
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, inner))
    if hint in _PLAIN:
        return _PLAIN[hint]
    return "none" if hint is types.NoneType else str(hint)
