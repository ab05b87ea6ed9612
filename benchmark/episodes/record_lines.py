"""Many records as lines of JSON, a column at a time: each line is the one that ``EpisodeRecord.to_json`` gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import Any

from flow_rag_vla.benchmark.episodes.records import SCHEMA_VERSION, EpisodeRecord

_AT_ONCE = 4096
"""Records whose columns are made together."""


def _texts(column: Sequence[str | None]) -> list[str]:
    return ["null" if value is None else encode_basestring_ascii(value) for value in column]


def _truths(column: Sequence[bool]) -> list[str]:
    return ["true" if value else "false" for value in column]


def _integers(column: Sequence[int | None]) -> list[str]:
    return ["null" if value is None else int.__repr__(value) for value in column]


def _floats(column: Sequence[float | None]) -> list[str]:
    return ["null" if value is None else _float(value) for value in column]


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"Out of range float values are not JSON compliant: {value}")
    return repr(value)


_ENCODERS: dict[str, Callable[[Sequence[Any]], list[str]]] = {
    "str": _texts,
    "Exposure": _texts,
    "Outcome": _texts,
    "bool": _truths,
    "int": _integers,
    "float": _floats,
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
        encoded = [_ENCODERS[_KINDS[name]](column) for name, column in zip(_NAMES, columns, strict=True)]
        parts += [_LINE % row for row in zip(*encoded, strict=True)]
    return "".join(parts)
