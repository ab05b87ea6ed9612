"""Files of a run: written whole or not at all, and read with a reason when they are damaged."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

FLOAT_DIGITS = 12
"""Significant digits kept in JSON results: enough to differ, too few to show the machine."""


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` durably: readers see the old file or the new one, whole."""
    with replaced_atomic(path) as file:
        file.write(data)


def write_lines_atomic(path: Path, lines: Iterable[str]) -> None:
    """Replace ``path`` by ``lines``, which have their ends, durably and as they come."""
    with replaced_atomic(path) as file:
        file.writelines(line.encode() for line in lines)


@contextmanager
def replaced_atomic(path: Path) -> Iterator[IO[bytes]]:
    """What is written into the file becomes ``path`` at the end of the context, durably; on an error nothing does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def to_json_bytes(value: object) -> bytes:
    """Canonical JSON: sorted keys, rounded floats, final newline; equal values, equal bytes.

    Raises:
        ValueError: naming the place of a float that is not finite.
    """
    text = json.dumps(_canonical(value, "$"), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json_atomic(path: Path, value: object) -> None:
    """``to_json_bytes`` into ``path``, whole or not at all."""
    write_bytes_atomic(path, to_json_bytes(value))


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``.

    Raises:
        ValueError: naming the file, where it does not hold a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a JSON {type(value).__name__}, expected an object")
    return value


def _canonical(value: object, place: str) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}; what was not measured is None")
        return float(f"{value:.{FLOAT_DIGITS}g}") + 0.0  # -0.0 becomes 0.0
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _canonical(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item, f"{place}[{i}]") for i, item in enumerate(value)]
    return value


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
