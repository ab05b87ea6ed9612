"""Many records as lines of JSON, a column at a time: each line is the one that ``EpisodeRecord.to_json`` gives."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any

from flow_rag_vla.benchmark.episodes.records import SCHEMA_VERSION, EpisodeRecord

_AT_ONCE = 4096
"""Records whose columns are made together."""


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _column(column: Sequence[Any], encode: Callable[[Any], str]) -> list[str]:
    if None in column:
        return ["null" if value is None else encode(value) for value in column]
    return list(map(encode, column))


def _numbers(column: Sequence[float | None]) -> list[str]:
    known: Sequence[Any] = [value for value in column if value is not None] if None in column else column
    if not all(map(math.isfinite, known)):
        raise ValueError("a number that is not finite is not JSON compliant; what was not measured is None")
    return _column(column, float.__repr__ if set(map(type, column)) == {float} else json.dumps)


_ENCODERS: dict[str, Callable[[Any], str]] = {
    "str": encode_basestring_ascii,
    "Exposure": encode_basestring_ascii,
    "Outcome": encode_basestring_ascii,
    "bool": _truth,
    "int": int.__repr__,
}
_KINDS = {field.name: str(field.type).removesuffix(" | None") for field in fields(EpisodeRecord)}
_NAMES = sorted(_KINDS)
_LINE = (
    "{" + ", ".join(f'"{name}": {SCHEMA_VERSION if name == "v" else "%s"}' for name in sorted([*_NAMES, "v"])) + "}\n"
)
_values = itemgetter(*_NAMES)


def to_lines(records: Iterable[EpisodeRecord]) -> str:
    """One line a record.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value is not of its field's type.
    """
    rows = [_values(vars(record)) for record in records]
    parts = []
    for first in range(0, len(rows), _AT_ONCE):
        columns = zip(*rows[first : first + _AT_ONCE], strict=True)
        encoded = [
            _numbers(column) if _KINDS[name] == "float" else _column(column, _ENCODERS[_KINDS[name]])
            for name, column in zip(_NAMES, columns, strict=True)
        ]
        parts += [_LINE % row for row in zip(*encoded, strict=True)]
    return "".join(parts)
