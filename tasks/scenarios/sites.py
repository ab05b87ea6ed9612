"""Sites: a hidden, seeded map from what a robot can see (object colour, lane) to the hazard that awaits it.

A pretrained policy cannot know a site; a memory of its own failures can learn it.  Hazards come in opposing pairs, so
that no constant habit solves a site.  A habit solves at most one of each pair and every unopposed hazard that wants the
same of it, so a site holds at most one unopposed hazard for every two pairs: ``(S + P) / (S + 2 P) <= 0.6``.
A pair that one habit solves whole (``Fault.unopposed_in``) comes in addition to two others.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.facts.colours import PALETTE
from flow_rag_vla.tasks.facts.keyed_draws import KeyedDraws
from flow_rag_vla.tasks.facts.layout import LANE_CENTRES_X_M, sample_layouts
from flow_rag_vla.tasks.facts.randomness import keyed_generator
from flow_rag_vla.tasks.faults.definition.fault import Fault
from flow_rag_vla.tasks.faults.registry import all_faults, get_fault
from flow_rag_vla.tasks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from flow_rag_vla.tasks.catalogue.task import Task

MAX_OBJECT_HAZARDS = 4
"""So that most colours stay plain."""

MAX_REGION_HAZARDS = len(LANE_CENTRES_X_M) - 1
"""So that a lane stays plain."""

MIN_OPPOSED_PAIRS = 2
"""Pairs of a site of which no constant habit solves both."""


@dataclass(frozen=True)
class Site:
    """Which colours and which lanes are hazardous here; the rest is harmless."""

    seed: int
    task: Task
    faults: dict[str, Fault]
    """What may happen here, by name: the hazards that a cue announces, and the exogenous faults."""
    colour_of: dict[str, str]
    """Object-cued fault to the colour that announces it."""
    lane_of: dict[str, int]
    """Region-cued fault to the lane that announces it."""
    plain_colours: tuple[str, ...]
    plain_lanes: tuple[int, ...]

    @property
    def avoidable_faults(self) -> tuple[Fault, ...]:
        """The hazards of this site that a changed action avoids."""
        return tuple(self.faults[name] for name in (*self.colour_of, *self.lane_of))

    @property
    def exogenous_faults(self) -> tuple[Fault, ...]:
        """What may happen here whatever one does."""
        return tuple(f for f in self.faults.values() if f.fault_class is FaultClass.EXOGENOUS)

    def scenario(
        self,
        layout_seed: int,
        fault: Fault | None = None,
        fault_class: FaultClass | None = None,
        severity: float | None = None,
    ) -> Scenario:
        """The scenario that ``layout_seed`` names here, with ``fault`` under the cue that this site gives it.

        Args:
            layout_seed: Names layout, object and plain cues.
            fault: None for a clean scenario (plain colour, plain lane).  A fault that this site does not hold keeps
                the plain cues: it comes unannounced.
            fault_class: ``FaultClass.CONTROL`` for the fault's harmless twin; by default the fault's own class.
            severity: In the fault's unit; by default the fault's default (or control) severity.

        Raises:
            ValueError: the fault makes no sense in this task.
        """
        return self.scenarios([layout_seed], fault, fault_class, severity)[0]

    def scenarios(
        self,
        layout_seeds: Sequence[int],
        fault: Fault | None = None,
        fault_class: FaultClass | None = None,
        severity: float | None = None,
    ) -> list[Scenario]:
        """What ``scenario`` makes of each of ``layout_seeds``; errors likewise."""
        draws = KeyedDraws(("cue", self.seed, seed) for seed in layout_seeds)
        colours = [self.plain_colours[i] for i in draws.integers(len(self.plain_colours)).tolist()]
        lanes = [self.plain_lanes[i] for i in draws.integers(len(self.plain_lanes)).tolist()]
        if fault is None:
            return self._scenarios(layout_seeds, lanes, colours, self.task.objects)
        if not fault.applies_to(self.task.slug):
            offered = ", ".join(f.name for f in all_faults(self.task.slug))
            raise ValueError(f"fault {fault.name!r} is not offered by {self.task.name}; available: {offered}")
        if fault.name in self.colour_of:
            colours = [self.colour_of[fault.name]] * len(layout_seeds)
        if fault.name in self.lane_of:
            lanes = [self.lane_of[fault.name]] * len(layout_seeds)
        elif fault.lanes:
            lanes = [fault.lanes[i] for i in draws.integers(len(fault.lanes)).tolist()]
        fault_class = fault.fault_class if fault_class is None else fault_class
        if severity is None:
            is_control = fault_class is FaultClass.CONTROL
            severity = fault.control_severity if is_control else fault.default_severity
        return self._scenarios(
            layout_seeds,
            lanes,
            colours,
            fault.objects_of(self.task.objects),
            fault=fault.name,
            fault_class=fault_class,
            severity=severity,
            parameters=fault.parameters(severity),
        )

    def _scenarios(
        self,
        layout_seeds: Sequence[int],
        lanes: Sequence[int],
        colours: Sequence[str],
        objects: tuple[str, ...],
        **hazard,
    ) -> list[Scenario]:
        picked = KeyedDraws(("object", seed) for seed in layout_seeds).integers(len(objects)).tolist()
        rows = zip(layout_seeds, sample_layouts(layout_seeds, lanes, self.task.area), colours, picked, strict=True)
        return [
            Scenario(self.task.name, self.seed, seed, layout, colour, objects[i], **hazard)
            for seed, layout, colour, i in rows
        ]


def make_site(seed: int, task: str) -> Site:
    """The site that ``seed`` names for ``task`` (gym id or short name).

    Raises:
        UnknownNameError: an unknown task.
    """
    spec = get_task(task)
    rng = keyed_generator("site", seed)
    by_object, by_region = _draw(rng, spec)
    colours = [list(PALETTE)[i] for i in rng.permutation(len(PALETTE))]
    lanes = _lanes_for(rng, by_region)
    announced = [get_fault(name) for name in (*by_object, *by_region)]
    return Site(
        seed=seed,
        task=spec,
        faults={f.name: f for f in (*announced, *all_faults(spec.slug, FaultClass.EXOGENOUS))},
        colour_of=dict(zip(by_object, colours, strict=False)),
        lane_of=dict(zip(by_region, lanes, strict=False)),
        plain_colours=tuple(colours[len(by_object) :]),
        plain_lanes=tuple(lanes[len(by_region) :]),
    )


def _lanes_for(rng: np.random.Generator, names: list[str]) -> list[int]:
    """All lanes in random order, such that the hazard ``names[i]`` may be in lane ``i`` of it.

    Raises:
        ValueError: the hazards' lanes exclude one another.
    """
    orders = list(itertools.permutations(range(len(LANE_CENTRES_X_M))))
    allowed = [get_fault(name).lanes or tuple(range(len(LANE_CENTRES_X_M))) for name in names]
    fitting = [order for order in orders if all(lane in lanes for lane, lanes in zip(order, allowed, strict=False))]
    if not fitting:
        raise ValueError(f"no assignment of lanes suits {', '.join(names)}")
    return list(fitting[rng.integers(len(fitting))])


def _groups(task: Task, cue: str) -> list[tuple[str, ...]]:
    """Avoidable faults with this cue: opposing pairs, then single ones."""
    offered = {f.name: f for f in all_faults(task.slug, FaultClass.AVOIDABLE) if f.cue == cue}
    groups: list[tuple[str, ...]] = []
    for name, fault in offered.items():
        opposite = fault.opposite
        if opposite not in offered:
            groups.append((name,))
        elif name < opposite:
            groups.append((name, opposite))
    return groups


def _draw(rng: np.random.Generator, task: Task) -> tuple[list[str], list[str]]:
    """Names of a site's object and region hazards: the friction pair, other pairs, and few unopposed ones."""
    most = {"object": MAX_OBJECT_HAZARDS, "region": MAX_REGION_HAZARDS}
    drawn: dict[str, list[str]] = {"object": [], "region": []}
    groups = [(cue, group) for cue in drawn for group in _groups(task, cue)]
    order = [groups[i] for i in rng.permutation(len(groups))]
    order.sort(key=lambda entry: "slippery_object" not in entry[1])
    wanted = int(rng.integers(2, 5))
    num_pairs = num_opposed = num_single = 0
    for cue, group in (entry for entry in order if len(entry[1]) == 2):
        if (num_pairs < wanted or num_opposed < MIN_OPPOSED_PAIRS) and len(drawn[cue]) + 2 <= most[cue]:
            drawn[cue] += group
            num_pairs += 1
            num_opposed += task.slug not in get_fault(group[0]).unopposed_in
    for cue, group in (entry for entry in order if len(entry[1]) == 1):
        if num_single < num_pairs // 2 and len(drawn[cue]) < most[cue]:
            drawn[cue] += group
            num_single += 1
    return drawn["object"], drawn["region"]
