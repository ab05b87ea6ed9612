"""How episodes ended on an engine, in memory and in a JSON file from which another comparison can take them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flow_rag_vla.benchmark.command.atomic_files import read_json_object, to_json_bytes, write_json_atomic
from flow_rag_vla.benchmark.engines.cells import CellKey
from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Outcome
from flow_rag_vla.tasks.contract import FaultClass

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class EpisodeEnd:
    """How one episode ended."""

    scenario_id: str
    outcome: Outcome
    penetration_mm: float | None
    """Deepest that both finger pads together sank into the object; None where the physics gave no number."""
    reason: str | None
    """Type of a failure, or what was wrong with the physics; None on success."""

    @classmethod
    def of(cls, record: EpisodeRecord) -> Self:
        """What ``record`` says of it."""
        reason = record.failure_type if record.failed else record.invalid_reason
        return cls(record.scenario_id, record.outcome, record.penetration_mm, reason)


@dataclass(frozen=True)
class PlayedCell:
    """All episodes of a cell, by one arm on one engine."""

    key: CellKey
    device: str
    checkpoint_sha256: str | None
    """Of the policy that acted; None for an expert."""
    ends: tuple[EpisodeEnd, ...]

    @property
    def scenario_ids(self) -> tuple[str, ...]:
        """In the order in which they were planned."""
        return tuple(end.scenario_id for end in self.ends)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able content, from which ``from_dict`` rebuilds an equal cell."""
        own = {"device": self.device, "checkpoint_sha256": self.checkpoint_sha256}
        return {**self.key._asdict(), **own, "ends": [vars(end) for end in self.ends]}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """The cell that ``to_dict`` described.

        Raises:
            KeyError, TypeError, ValueError: it described none.
        """
        key = CellKey(**{name: row[name] for name in CellKey._fields} | {"fault_class": FaultClass(row["fault_class"])})
        ends = tuple(EpisodeEnd(**{**end, "outcome": Outcome(end["outcome"])}) for end in row["ends"])
        return cls(key, row["device"], row["checkpoint_sha256"], ends)


@dataclass(frozen=True)
class World:
    """What decides outcomes beside scenario and actor; equal after a file as before it."""

    contacts: dict[str, Any]
    """All parts of ``world_description`` in one."""
    versions: dict[str, str]
    """Package to version."""

    @classmethod
    def of(cls, contacts: Mapping[str, object], versions: Mapping[str, str]) -> Self:
        """The world as a file would say it: numbers rounded, tuples as lists."""
        return cls(json.loads(to_json_bytes(contacts)), dict(versions))

    def differences(self, other: World) -> list[str]:
        """Like ``cone pyramidal, here elliptic``, for everything in which ``other`` is not this world."""
        ours, theirs = {**self.contacts, **self.versions}, {**other.contacts, **other.versions}
        return [
            f"{name} {theirs.get(name)}, here {ours.get(name)}"
            for name in dict.fromkeys((*ours, *theirs))
            if ours.get(name) != theirs.get(name)
        ]


def write_outcomes(path: Path, world: World, cells: Sequence[PlayedCell], **others: object) -> None:
    """``cells`` and the ``world`` that they were played in, with JSON-able ``others``, whole or not at all."""
    rows = [cell.to_dict() for cell in cells]
    content = {"schema_version": SCHEMA_VERSION, "contacts": world.contacts, "versions": world.versions, "cells": rows}
    write_json_atomic(path, {**content, **others})


def read_outcomes(path: Path) -> tuple[World, list[PlayedCell]]:
    """What ``write_outcomes`` wrote.

    Raises:
        ValueError: naming the file, where it cannot be read or was written by something else.
    """
    try:
        content = read_json_object(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    version = content.get("schema_version")
    try:
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema_version is {version!r}, expected {SCHEMA_VERSION}")
        cells = [PlayedCell.from_dict(row) for row in content["cells"]]
        return World(dict(content["contacts"]), dict(content["versions"])), cells
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a file that scripts/compare_engines.py wrote: {error}") from None
