"""Rebuilds typed records from plain JSON values and versioned files."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from flow_rag_vla.benchmark.command.atomic_files import read_json_object


def read_record[T](cls: type[T], path: Path, schema_version: int) -> T:
    """The ``cls`` that ``path`` holds as JSON.

    Raises:
        ValueError: naming the file: damaged, incomplete or of another schema version.
    """
    row = read_json_object(path)
    version = row.get("schema_version")
    if version != schema_version:
        raise ValueError(f"{path}: schema version {version!r}, this code reads {schema_version}")
    try:
        return decode(cls, row, "$")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def decode(kind: Any, value: Any, place: str) -> Any:
    """``value`` from JSON as ``kind``: dataclasses, containers, optionals, enums and plain values.

    Unknown keys are ignored, missing ones are an error.

    Raises:
        ValueError: naming the place (``$.arms.NAME``) of the first value that does not fit.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else decode(arguments[0], value, place)
    if dataclasses.is_dataclass(kind):
        return _decode_record(kind, value, place)
    if origin is dict and isinstance(value, Mapping):
        return {key: decode(arguments[1], v, f"{place}.{key}") for key, v in value.items()}
    if origin is list and isinstance(value, list):
        return [decode(arguments[0], v, f"{place}[{i}]") for i, v in enumerate(value)]
    if origin is tuple and isinstance(value, list) and len(value) == len(arguments):
        return tuple(decode(t, v, place) for t, v in zip(arguments, value, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and origin is None:
        if issubclass(kind, StrEnum) and value in list(kind):
            return kind(value)
        if isinstance(value, kind):
            return value
    raise ValueError(f"{place} is {value!r}, expected {kind}")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode_record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is {value!r}, expected {kind.__name__}")
    hints = _hints(kind)
    given = {
        f.name: decode(hints[f.name], value[f.name], f"{place}.{f.name}")
        for f in dataclasses.fields(kind)
        if f.name in value
    }
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"{place}: {error}") from None
