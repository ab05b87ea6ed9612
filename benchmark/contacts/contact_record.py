"""Contacts as a JSON record."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_rag_vla.benchmark.contacts.contact_docs import Contacts


def contact_record(contacts: Contacts) -> dict[str, object]:
    """Everything that was measured, by the fields' names; None for what is unbounded or not a number."""
    return {name: _finite(value) for name, value in dataclasses.asdict(contacts).items()}


def _finite(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case tuple() | list():
            return [_finite(item) for item in value]
        case _:
            return value
