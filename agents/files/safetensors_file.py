"""Checkpoints on disk: safetensors with a JSON header, so that loading one never runs anything."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.files.file_kind import kind_of_file

_OTHERS = {"policy", "vision", "detector", "failures", "training_state"}
"""Headers of the project's files."""


class HeaderError(Exception):
    """What is wrong with a file that safetensors can read."""


def save_with_header(path: Path, key: str, header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """Write ``tensors``, and ``header`` as JSON under ``key``, whole or not at all; returns the sha256 of the file."""
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    partial = path.with_name(path.name + ".partial")
    save_file(stored, partial, metadata={key: json.dumps(header, sort_keys=True, allow_nan=False)})
    partial.replace(path)
    return file_sha256(path)


@contextmanager
def errors_in_one_line(what: str, path: Path, if_missing: str = "no such file") -> Iterator[None]:
    """Turn what goes wrong in reading ``path`` into one line.

    Args:
        what: What the file is, for the message.
        path: The file.
        if_missing: Said where there is none.

    Raises:
        ValueError: the file cannot be read, or a ``HeaderError`` was raised.
    """
    try:
        yield
    except FileNotFoundError:
        reason = if_missing
    except (OSError, SafetensorError) as error:
        kind = _kind(path)
        reason = f"not a readable safetensors file ({error if kind is None else f'it is {kind}'})"
    except HeaderError as error:
        reason = str(error)
    else:
        return
    raise ValueError(f"{what} {os.fspath(path)}: {reason}".replace("\n", " "))


def read_with_header(path: Path, key: str) -> tuple[Any, dict[str, torch.Tensor]]:
    """Header, as JSON decodes it, and tensors of a file of ``save_with_header``; no header is None.

    Raises:
        HeaderError: the header is no JSON.
        OSError: the file cannot be opened.
        SafetensorError: it is no safetensors file, or is cut short.
    """
    metadata, tensors = read_tensors(path)
    return _decoded(metadata, key), tensors


def read_header(path: Path, key: str) -> Any:
    """The header of ``read_with_header`` alone, without reading the tensors; errors as there."""
    with safe_open(path, framework="pt") as file:
        return _decoded(file.metadata() or {}, key)


def _kind(path: Path) -> str | None:
    try:
        return kind_of_file(path)
    except OSError:
        return None


def _decoded(metadata: Mapping[str, str], key: str) -> Any:
    if key not in metadata and (others := sorted(_OTHERS & set(metadata))):
        raise HeaderError(f"is another file of this project, with a {others[0]} header; expected one with {key!r}")
    try:
        return json.loads(metadata.get(key) or "null")
    except (json.JSONDecodeError, RecursionError) as error:
        raise HeaderError(f"its header is not JSON ({error})") from None


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Metadata, empty where there is none, and tensors of a safetensors file.

    Raises:
        OSError: the file cannot be opened.
        SafetensorError: it is no safetensors file, or is cut short.
    """
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)


def require_format(header: Any, file_format: str, version: int, if_none: str) -> None:
    """Nothing, if ``header`` is an object that says ``file_format`` and ``version``.

    Raises:
        HeaderError: it is not; the message is ``if_none`` where the file has none.
    """
    if header is None:
        raise HeaderError(if_none)
    if not isinstance(header, dict) or header.get("format") != file_format:
        raise HeaderError(f"its header does not say format {file_format!r}")
    if header.get("version") != version:
        raise HeaderError(f"has version {header.get('version')!r}, this program reads {version}")


def require_names(tensors: Collection[str], expected: Collection[str]) -> None:
    """Nothing, if ``tensors`` are named as ``expected``.

    Raises:
        HeaderError: they are not.
    """
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or extra:
        raise HeaderError(f"tensors do not fit its header: missing {missing[:3]}, unexpected {extra[:3]}")


def require_values(
    tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], may_be_infinite: Collection[str] = ()
) -> None:
    """Nothing, if ``tensors``, all of whose names are in ``expected``, have its shapes and types and finite values.

    Raises:
        HeaderError: they do not; an infinite value is allowed in ``may_be_infinite``, NaN in none.
    """
    for name, value in tensors.items():
        want = expected[name]
        if value.shape != want.shape or value.dtype != want.dtype:
            raise HeaderError(
                f"tensor {name} is {value.dtype} {tuple(value.shape)}, expected {want.dtype} {tuple(want.shape)}"
            )
        sound = ~torch.isnan(value) if name in may_be_infinite else torch.isfinite(value)
        if not bool(sound.all()):
            raise HeaderError(f"tensor {name} holds values that are not finite")
