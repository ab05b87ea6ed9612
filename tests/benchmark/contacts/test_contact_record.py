"""Measurements with what JSON has no word for."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flow_rag_vla.benchmark.command.atomic_files import write_json_atomic
from flow_rag_vla.benchmark.contacts.contact_record import contact_record

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.contacts.contact_docs import Contacts


@dataclass(frozen=True)
class Measured:
    place_m: tuple[float, float]
    with_friction_n: float
    touched: bool


@dataclass(frozen=True)
class All:
    physics: str
    pressing: tuple[Measured, ...]


def test_what_is_unbounded_or_not_measured_is_none(tmp_path):
    measured = All("newton_mujoco", (Measured((0.5, math.nan), math.inf, True), Measured((0.5, 0.0), 213.0, False)))
    path = tmp_path / "contacts.json"
    write_json_atomic(path, contact_record(cast("Contacts", measured)))
    assert json.loads(path.read_text()) == {
        "physics": "newton_mujoco",
        "pressing": [
            {"place_m": [0.5, None], "with_friction_n": None, "touched": True},
            {"place_m": [0.5, 0.0], "with_friction_n": 213.0, "touched": False},
        ],
    }
