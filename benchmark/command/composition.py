"""Settings from ``key=value`` overrides: Hydra composes a dataclass, and a mistake is one line for the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra import compose, initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from flow_rag_vla.benchmark.command.ranges import key_has_range, leaves, range_of, refuse_settings
from flow_rag_vla.tasks.facts.plain_text import shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_WANTED = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}
"""OmegaConf's words and ours."""

_CONVERSION = re.compile(
    r"Value (?P<got>'.*') (of type .* converted to|is not a valid) (?P<kind>\w+)|field '\w+' is not Optional"
)

_UNREADABLE_DIGITS = 30
"""Nobody means a number of more."""


def compose_dataclass[T: DataclassInstance](name: str, defaults: T, overrides: Sequence[str]) -> T:
    """A copy of the dataclass instance ``defaults``, named ``name`` in Hydra's store, with ``overrides`` applied.

    Args:
        name: Any name of its own.
        defaults: Plain (not frozen) dataclasses, nested as the keys are.
        overrides: ``key=value`` or ``group.key=value``, each key once.

    Raises:
        ValueError: no ``key=value``, a key that is unknown or given twice, a value of the wrong type, an empty text,
            or a number out of its range; one line, for the user.
    """
    _refuse_unclear(overrides)
    GlobalHydra.instance().clear()
    ConfigStore.instance().store(name=name, node=defaults)
    try:
        with initialize(version_base=None, config_path=None):
            settings = OmegaConf.to_object(compose(name, list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_one_line(error, overrides, [key for key, _ in leaves(defaults)])) from None
    if not isinstance(settings, type(defaults)):
        raise TypeError(f"expected {type(defaults).__name__}, got {type(settings).__name__}")
    for (key, value), (_, default) in zip(leaves(settings), leaves(defaults), strict=True):
        if isinstance(default, str) and default and not str(value).strip():
            raise ValueError(f"{key} is {value!r}, expected a text that is not empty")
    refuse_settings(settings)
    return settings


def _refuse_unclear(overrides: Sequence[str]) -> None:
    given: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        if not re.match(r"[A-Za-z_]", override) or "=" not in override or re.match(r"hydra\b", key):
            raise ValueError(f"expected key=value, got {override!r}")
        if key in given:
            raise ValueError(f"{key} is given twice, {given[key]} and {override}; give it once, as a flag or key=value")
        given[key] = override
        if "${" in value:
            raise ValueError(f"{key} is {value!r}, expected a value without ${{...}}: nothing is filled in")
        digits = value.strip("'\"").removeprefix("-")
        if digits.isdecimal() and key_has_range(key) and (not digits.isascii() or len(digits) > _UNREADABLE_DIGITS):
            raise ValueError(f"{key} is {shown(value, 60)}, expected {range_of(key)} in the digits 0 to 9")


def quoted(value: str) -> str:
    """``value`` as Hydra takes it literally, commas and equal signs included."""
    plain = value.isascii() and value.replace("_", "").replace("-", "").isalnum()
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return value if plain else f"'{escaped}'"


def _one_line(error: Exception, overrides: Sequence[str], known: Sequence[str]) -> str:
    if isinstance(error, OverrideParseException):
        advice = "put a value with special characters in quotes: \"key='a b'\""
        return f"{error.override} cannot be read as key=value; {advice}"
    cause = error.__cause__ or error
    first = str(cause).strip().splitlines()[0]
    found = _CONVERSION.match(first)
    if isinstance(cause, ValidationError) and cause.full_key and found:
        wanted = _WANTED.get(found["kind"] or "", "a value")
        limits = f", {range_of(cause.full_key)}" if key_has_range(cause.full_key) else ""
        return f"{cause.full_key} is {found['got'] or 'null'}, expected {wanted}{limits}"
    hint = f"; available keys: {', '.join(known)}" if "not in" in first else ""
    return f"{first} (overrides: {' '.join(overrides)}){hint}"
