"""One planned situation: a layout at a site, with at most one fault, named by a stable id."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, Self

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.layout import Layout, displace_layouts
from flow_rag_vla.tasks.facts.randomness import keyed_generator

# Made once: ``json.dumps`` makes an encoder a call.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_SPACED = json.JSONEncoder(sort_keys=True, allow_nan=False)
_VISIBLE = json.JSONEncoder()


@dataclass(frozen=True)
class Scenario:
    """Everything that decides an episode except the policy.

    ``parameters`` are the fault's physical parameters (see ``faults``); agents never see them, nor the id.
    """

    task: str
    site: int
    """Site seed: which hidden map from cues to hazards is in force."""
    layout_seed: int
    layout: Layout
    object_colour: str
    object_model: str = "cube"
    fault: str = "none"
    fault_class: FaultClass = FaultClass.CLEAN
    severity: float = 0.0
    """In the fault's own unit (see ``faults``); 0 on clean scenarios."""
    parameters: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able content, from which ``from_dict`` rebuilds an equal scenario."""
        row = dict(zip(self.__dataclass_fields__, _fields_of(self), strict=True))
        row["layout"], row["parameters"] = dict(vars(self.layout)), dict(self.parameters)
        return row

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Self:
        """The scenario that ``to_dict`` described."""
        layout = row["layout"]
        pairs = {name: tuple(layout[name]) for name in ("object_xy_m", "goal_xy_m")}
        return cls(**{**row, "fault_class": FaultClass(row["fault_class"]), "layout": Layout(**{**layout, **pairs})})

    @cached_property
    def id(self) -> str:
        """First 16 hex digits of the sha256 of the canonical JSON: the same in every process."""
        return hashlib.sha256(_CANONICAL.encode(self.to_dict()).encode()).hexdigest()[:16]

    def near(self) -> Scenario:
        """The same cue, lane and hazard with object and goal displaced (the NEAR exposure)."""
        return self.nearby([self])[0]

    @staticmethod
    def nearby(scenarios: Sequence[Scenario]) -> list[Scenario]:
        """What ``near`` makes of each of ``scenarios``."""
        moved: dict[int, Scenario] = {}
        for task in {scenario.task for scenario in scenarios}:
            rows = [i for i, scenario in enumerate(scenarios) if scenario.task == task]
            layouts = displace_layouts(
                [scenarios[i].layout for i in rows], [scenarios[i].layout_seed for i in rows], get_task(task).area
            )
            moved |= {i: scenarios[i]._at(layout) for i, layout in zip(rows, layouts, strict=True)}
        return [moved[i] for i in range(len(scenarios))]

    def _at(self, layout: Layout) -> Self:
        values: dict[str, Any] = dict(zip(self.__dataclass_fields__, _fields_of(self), strict=True))
        values["layout"] = layout
        return type(self)(**values)

    @cached_property
    def instruction(self) -> str:
        """The task in one of its wordings, which the layout seed picks."""
        wordings = get_task(self.task).instructions
        return wordings[keyed_generator("instruction", self.layout_seed).integers(len(wordings))]

    @cached_property
    def noise_key(self) -> str:
        """Names the random streams of an episode: where things lie, never what is hidden.

        Keyed by the visible layout alone, so that changing a hidden parameter changes no noise.
        """
        visible = [self.task, self.layout_seed, vars(self.layout), self.object_colour, self.object_model]
        return hashlib.sha256(_VISIBLE.encode(visible).encode()).hexdigest()[:16]


_fields_of = attrgetter(*Scenario.__dataclass_fields__)

_IN_ORDER = sorted(name for name in Scenario.__dataclass_fields__ if name != "layout")
_NUM_BEFORE_LAYOUT = sum(name < "layout" for name in _IN_ORDER)
_in_order_of = attrgetter(*_IN_ORDER)
_layout_in_order_of = attrgetter(*(f"layout.{name}" for name in sorted(Layout.__dataclass_fields__)))
_NAMED_AT_ONCE = 4096
_PAIR = "_xy_m"
_MARK = "%s"


def _shape(encoder: json.JSONEncoder) -> str:
    """The JSON of any scenario, with a mark for each value."""
    layout = {name: [_MARK] * 2 if name.endswith(_PAIR) else _MARK for name in Layout.__dataclass_fields__}
    shape = dict.fromkeys(Scenario.__dataclass_fields__, _MARK) | {"layout": layout}
    return encoder.encode(shape).replace(f'"{_MARK}"', _MARK)


def scenarios_json(scenarios: Sequence[Scenario], encoder: json.JSONEncoder = _SPACED) -> list[str]:
    """What ``encoder`` makes of the content of each scenario, a column at a time, in a third of its time.

    Raises:
        ValueError: a number is not finite.
    """
    columns: list[Sequence[Any]] = list(zip(*map(_in_order_of, scenarios), strict=True))
    layouts: list[Sequence[Any]] = []
    for name, column in zip(
        sorted(Layout.__dataclass_fields__), zip(*map(_layout_in_order_of, scenarios), strict=True), strict=False
    ):
        layouts += zip(*column, strict=True) if name.endswith(_PAIR) else [column]
    columns[_NUM_BEFORE_LAYOUT:_NUM_BEFORE_LAYOUT] = layouts
    shape = _shape(encoder)
    return [shape % row for row in zip(*(_tokens(column, encoder) for column in columns), strict=True)]


def _tokens(column: Sequence[Any], encoder: json.JSONEncoder) -> list[str]:
    kinds = set(map(type, column))
    if kinds == {float} and all(map(math.isfinite, column)):
        return list(map(float.__repr__, column))
    if kinds == {int}:
        return list(map(int.__repr__, column))
    if all(issubclass(kind, str) for kind in kinds):
        return list(map(encode_basestring_ascii, column))
    known = {id(value): value for value in column}  # scenarios of one kind share their parameters
    texts = {key: encoder.encode(value) for key, value in known.items()}
    return [texts[id(value)] for value in column]


def name_all(scenarios: Sequence[Scenario]) -> None:
    """Give every scenario the id that it would find out for itself, faster."""
    for batch in itertools.batched(scenarios, _NAMED_AT_ONCE):
        for scenario, text in zip(batch, scenarios_json(batch, _CANONICAL), strict=True):
            vars(scenario)["id"] = hashlib.sha256(text.encode()).hexdigest()[:16]
