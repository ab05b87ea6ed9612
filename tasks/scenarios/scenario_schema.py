"""What a user may write in a scenario file, and how a mistake is put: its place, what was got, what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from flow_rag_vla.tasks.faults.definition.fault import Effect, minus_severity, severity

MAX_NUMBER = 1.0e9
"""No physical parameter of a table-top task is larger; NaN is not smaller either."""


class _Entry(BaseModel):
    """Nothing is converted (``"3"`` is no number) and no key is unknown."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)


class _Linear(_Entry):
    """The effect ``scale * severity + offset``."""

    scale: float
    offset: float = 0.0

    def at(self, value: float) -> float:
        return self.scale * value + self.offset


def _effect(value: object) -> Effect:
    match value:
        case "severity":
            return severity
        case "-severity":
            return minus_severity
        case dict():
            return _Linear.model_validate(value).at
        case bool():
            pass
        case int() | float() if abs(value) <= MAX_NUMBER:
            return float(value)
    raise ValueError("expected a number, severity, -severity or {scale: k, offset: b}")


class TriggerEntry(_Entry):
    """When a passing effect begins."""

    phase: str | None = None
    step: int | None = Field(default=None, ge=0, le=10_000)
    region_y_m: list[float] | None = Field(default=None, min_length=2, max_length=2)


class FaultEntry(_Entry):
    """A fault of the user's own."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    family: str
    fault_class: Literal["avoidable", "exogenous"] = Field(alias="class")
    cue: Literal["object", "region", "none"]
    unit: str
    ladder: list[float] = Field(min_length=1)
    default: float
    control: float
    effect: dict[str, Annotated[float | Callable[[float], float], PlainValidator(_effect)]] = Field(min_length=1)
    trigger: TriggerEntry = TriggerEntry()
    description: str = Field(min_length=1)
    remedy: str = Field(min_length=1)
    opposite: str | None = None
    tasks: list[str] = []
    objects: list[str] = []
    lanes: list[int] = []


class SiteEntry(_Entry):
    """A site: which colours and lanes are hazardous; the rest is plain."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\n\t]*$")
    colours: dict[str, str] = {}
    lanes: dict[int, str] = {}
    exogenous: list[str] = []


class FileEntry(_Entry):
    """The file; faults and sites are checked one by one, so that one mistake does not hide the others."""

    task: str | None = None
    num_scenarios: int | None = Field(default=None, ge=1, le=1_020_000)
    faults: list[Any] = []
    sites: list[Any] = Field(min_length=1)


def checked[E: _Entry](model: type[E], value: object, place: str, mistakes: list[str]) -> E | None:
    """``value`` as an entry; None after adding one line for each thing that is wrong with it to ``mistakes``."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        mistakes += [_line(model, place, details["loc"], details) for details in error.errors()]
        return None


def _line(model: type[BaseModel], place: str, loc: tuple[int | str, ...], details: Any) -> str:
    """One line for one of pydantic's errors."""
    # A mapping's bad key is reported as (..., key, "[key]").
    path = [part for part in loc if part != "[key]"]
    if details["type"] == "extra_forbidden":
        return f"{_at(place, path[:-1])}unknown key {path[-1]!r}; available: {', '.join(_keys(model, path[:-1]))}"
    if details["type"] == "missing":
        return f"{_at(place, path[:-1])}key {path[-1]!r} is missing"
    if details["type"] == "model_type":
        return f"{_at(place, path)}got {_short(details['input'])}, expected a mapping"
    if details["type"] == "value_error":
        return f"{_at(place, path)}got {_short(details['input'])}, {details['ctx']['error']}"
    expected = details["msg"].removeprefix("Input should be ").replace("\n", " ")
    return f"{_at(place, path)}got {_short(details['input'])}, expected {expected}"


def _at(place: str, path: list[int | str]) -> str:
    text = place
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    text = text.removeprefix(".")
    return f"{text}: " if text else ""


def _keys(model: type[BaseModel], path: list[int | str]) -> list[str]:
    """Keys of the entry at ``path`` inside ``model``."""
    if path and path[-1] == "trigger":
        model = TriggerEntry
    elif path:
        model = _Linear
    return [field.alias or name for name, field in model.model_fields.items()]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
