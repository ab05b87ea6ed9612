"""Episodes whose right label is known from how they were made: what the label audit is measured against.

Each family lets the scripted expert do one thing wrong, or meet one hazard, with a margin that leaves physics no
choice: a hand that closes 10 cm beside the object cannot have grasped it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from flow_rag_vla.benchmark.certification import scripted_mishaps as mishaps
from flow_rag_vla.benchmark.certification.scripted_mishaps import Script
from flow_rag_vla.tasks.catalogue.registry import get_task
from flow_rag_vla.tasks.contract import FailureType, InvalidReason, Phase
from flow_rag_vla.tasks.expert.scripted_expert import FIRM_GRIP, ExpertPlan
from flow_rag_vla.tasks.facts.layout import sample_layout
from flow_rag_vla.tasks.scenarios.scenario import Scenario

NONE, INVALID = "none", "invalid"
"""Labels beside the failure types: nothing went wrong; the physics broke."""

type PlanValue = float | tuple[float, float, float]
type PerEpisode = Callable[[Scenario, int], PlanValue]
"""A plan's value from the scenario and the number of the episode in its family."""


@dataclass(frozen=True)
class Family:
    """``count`` episodes that are made alike on different layouts, objects and lanes."""

    name: str
    task: str
    label: str
    """A failure type, ``none`` or ``invalid``: the first causal event."""
    count: int
    how: str
    phase: Phase | None = None
    """Phase of the first causal event where the construction determines it."""
    succeeds: bool | None = None
    """Whether the task is completed in the end; None where the construction leaves it open."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Hazard parameters (``tasks.faults.parameters``)."""
    plan: Mapping[str, PlanValue | PerEpisode] = field(default_factory=dict)
    """Changes to the nominal plan."""
    script: Script | None = None
    objects: tuple[str, ...] = ()
    """Object models; empty for the task's."""
    lanes: tuple[int, ...] = (0, 1, 2, 3, 4)
    breaks: InvalidReason | None = None
    """How the physics is broken by hand."""

    def scenario(self, i: int, site: int, layout_seed: int) -> Scenario:
        """The scenario of episode ``i``."""
        task = get_task(self.task)
        objects = self.objects or task.objects
        layout = sample_layout(layout_seed, self.lanes[i % len(self.lanes)], task.area)
        model = objects[i % len(objects)]
        return Scenario(task.name, site, layout_seed, layout, "blue", model, parameters=dict(self.parameters))

    def plan_for(self, scenarios: list[Scenario], device: str = "cpu") -> ExpertPlan:
        """The expert's plan on this family's ``scenarios``, in order."""
        nominal = ExpertPlan.nominal(len(scenarios), device, get_task(self.task))
        changes = {
            name: torch.tensor(
                [value(s, i) if callable(value) else value for i, s in enumerate(scenarios)], device=device
            )
            for name, value in self.plan.items()
        }
        return dataclasses.replace(nominal, **changes)


def _along_fingers(distance_m: float) -> PerEpisode:
    """A grasp this far off the object, on either side, along the way that the fingers close."""

    def offset(scenario: Scenario, i: int) -> PlanValue:
        yaw, side = scenario.layout.object_yaw_rad, distance_m * (-1) ** i
        return (-math.sin(yaw) * side, math.cos(yaw) * side, 0.0)

    return offset


def _across_fingers(distance_m: float) -> PerEpisode:
    """The same, square to the way that the fingers close."""

    def offset(scenario: Scenario, i: int) -> PlanValue:
        yaw, side = scenario.layout.object_yaw_rad, distance_m * (-1) ** i
        return (math.cos(yaw) * side, math.sin(yaw) * side, 0.0)

    return offset


def _around_goal(nearest_m: float, furthest_m: float) -> PerEpisode:
    """A goal that is off by ``nearest_m`` to ``furthest_m`` in one of eight directions."""

    def offset(_: Scenario, i: int) -> PlanValue:
        angle, radius = i * math.pi / 4, nearest_m + (furthest_m - nearest_m) * (i % 5) / 4
        return (radius * math.cos(angle), radius * math.sin(angle), 0.0)

    return offset


_HEAVY = {"object_mass_kg": 1.2}
_GRASP, _COLLISION, _DROP = FailureType.GRASP_FAILURE, FailureType.COLLISION, FailureType.DROP
_MISALIGNED, _TIMEOUT = FailureType.MISALIGNMENT, FailureType.TIMEOUT
_ROUND = ("cube", "block", "cylinder")
_FLAT = ("cube", "block")
_NEAR_LANES = (0, 1, 2)
"""Lanes in which a point 12 cm further is still within reach: a hand that never arrives does nothing wrong."""

_PICK_PLACE = (
    Family("placed", "pick_place", NONE, 16, "the nominal expert, nothing in its way", succeeds=True),
    # Grasp failures.
    Family("beside", "pick_place", _GRASP, 8, "the hand closes 10 cm beside the object", Phase.GRASP,
           plan={"object_offset_m": _along_fingers(0.10)}, lanes=_NEAR_LANES),
    Family("in_front", "pick_place", _GRASP, 6, "the hand closes 8 cm in front of the object", Phase.GRASP,
           plan={"object_offset_m": _across_fingers(0.08)}, objects=_ROUND, lanes=_NEAR_LANES),
    Family("finger_on_top", "pick_place", _GRASP, 8, "a finger stands on the object and keeps pressing",
           Phase.APPROACH, plan={"object_offset_m": _along_fingers(0.04)}, objects=_FLAT),
    Family("crushed", "pick_place", _GRASP, 8, "the object breaks above 7 N, the grip is 10 N", Phase.GRASP,
           parameters={"crush_force_n": 7.0}, objects=_FLAT),
    Family("crushed_under_way", "pick_place", _GRASP, 6, "the object breaks above 20 N, the grip rises to 40 N",
           Phase.CARRY, parameters={"crush_force_n": 20.0}, script=mishaps.squeeze_under_way, objects=_FLAT),
    Family("slides_out", "pick_place", _GRASP, 8, "0.5 kg at friction 0.05: 10 N a finger carry 0.1 kg of it",
           parameters={"object_mass_kg": 0.5, "object_friction": 0.05}),
    Family("swings", "pick_place", _GRASP, 6, "a bar of 0.6 kg, heavy 55 mm off the middle where it is grasped",
           parameters={"object_mass_kg": 0.6, "com_offset_m": 0.055}, objects=("bar",)),
    Family("slips_at_once", "pick_place", _GRASP, 6, "the grip is relaxed 1 cm above the table, later it is not",
           None, True, _HEAVY, {"grip": FIRM_GRIP, "speed": 0.7}, mishaps.loosen_at_once, _FLAT),
    # Collisions.
    Family("into_post", "pick_place", _COLLISION, 6, "carried at 0.12 m into a post of 0.19 m", Phase.CARRY,
           parameters={"post_top_m": 0.19}),
    Family("into_beam", "pick_place", _COLLISION, 6, "the hand is carried into a beam at 0.315 m", Phase.CARRY,
           parameters={"beam_bottom_m": 0.315}),
    Family("into_wall", "pick_place", _COLLISION, 8, "carried into a wall of 0.30 m", Phase.CARRY,
           parameters={"wall_left_edge_m": 0.05}),
    Family("empty_hand_into_wall", "pick_place", _COLLISION, 8, "the open hand sweeps into a wall, without object",
           Phase.APPROACH, parameters={"wall_right_edge_m": 0.02}, script=mishaps.sweep_across, objects=_ROUND,
           plan={"object_offset_m": (0.10, 0.0, 0.0)}, lanes=_NEAR_LANES),
    # Drops.
    Family("forced_open", "pick_place", _DROP, 8, "the gripper is forced open in mid-carry", Phase.CARRY,
           parameters={"release_steps": 8.0}),
    Family("pushed_out", "pick_place", _DROP, 6, "50 N push 0.5 kg down in mid-carry; 10 N a finger bear 20 N",
           Phase.CARRY, parameters={"object_mass_kg": 0.5, "push_force_n": 50.0, "push_steps": 6.0}, objects=_FLAT),
    Family("loosened", "pick_place", _DROP, 6, "the grip on 1.2 kg is relaxed to 2.4 N in mid-carry", Phase.CARRY,
           parameters=_HEAVY, plan={"grip": FIRM_GRIP}, script=mishaps.loosen_under_way),
    Family("loosened_when_lifted", "pick_place", _DROP, 6, "the same 6 cm above where the object lay", Phase.LIFT,
           parameters=_HEAVY, plan={"grip": FIRM_GRIP}, script=mishaps.loosen_when_lifted),
    Family("shaken_out", "pick_place", _DROP, 6, "a slippery object is jerked up and down in mid-carry", Phase.CARRY,
           parameters={"object_mass_kg": 0.5, "object_friction": 0.35}, script=mishaps.shake_under_way, objects=_FLAT),
    Family("dropped_and_placed", "pick_place", _DROP, 6, "relaxed in the first carry, firm in the second",
           Phase.CARRY, True, _HEAVY, {"grip": FIRM_GRIP, "clearance_m": 0.07}, mishaps.loosen_under_way, _FLAT),
    # Misalignments.
    Family("put_beside_goal", "pick_place", _MISALIGNED, 16, "let go 6 to 12 cm off the goal", Phase.PLACE, False,
           plan={"goal_offset_m": _around_goal(0.06, 0.12)}, script=mishaps.leave_it, lanes=_NEAR_LANES),
    # Time-outs.
    Family("still", "pick_place", _TIMEOUT, 5, "the hand never moves", Phase.APPROACH, False,
           script=mishaps.keep_still),
    Family("slow", "pick_place", _TIMEOUT, 5, "the hand moves at 0.05 m/s", None, False, plan={"speed": 0.1}),
    Family("hovers", "pick_place", _TIMEOUT, 6, "the hand comes and goes, and never closes", Phase.APPROACH, False,
           script=mishaps.never_close),
    Family("keeps_it", "pick_place", _TIMEOUT, 6, "the object is held at the goal and never let go", Phase.PLACE,
           False, script=mishaps.never_open),
    # Broken physics.
    Family("non_finite_object", "pick_place", INVALID, 8, "the object's pose becomes NaN",
           breaks=InvalidReason.NON_FINITE_STATE),
    Family("object_in_table", "pick_place", INVALID, 8, "the object is put under the table",
           breaks=InvalidReason.OBJECT_IN_TABLE),
    Family("runaway", "pick_place", INVALID, 8, "the object flies off at 5 km/s", breaks=InvalidReason.RUNAWAY_SPEED),
)  # fmt: skip

_STACK = (
    Family("stacked", "stack", NONE, 8, "the nominal expert", succeeds=True),
    Family("beside", "stack", _GRASP, 4, "the hand closes 10 cm beside the object", Phase.GRASP,
           plan={"object_offset_m": _along_fingers(0.10)}, lanes=_NEAR_LANES),
    Family("forced_open", "stack", _DROP, 6, "the gripper is forced open in mid-carry", Phase.CARRY,
           parameters={"release_steps": 8.0}),
    Family("put_beside_stack", "stack", _MISALIGNED, 8, "let go 8 to 12 cm off the stack", Phase.PLACE, False,
           plan={"goal_offset_m": _around_goal(0.08, 0.12)}, script=mishaps.leave_it, lanes=_NEAR_LANES),
    Family("keeps_it", "stack", _TIMEOUT, 4, "the cube is held on the stack and never let go", Phase.PLACE, False,
           script=mishaps.never_open),
)  # fmt: skip

_LIFT = (
    Family("lifted", "lift", NONE, 8, "the nominal expert", succeeds=True),
    Family("slides_out", "lift", _GRASP, 4, "0.5 kg at friction 0.05: 10 N a finger carry 0.1 kg of it",
           parameters={"object_mass_kg": 0.5, "object_friction": 0.05}),
    Family("loosened", "lift", _DROP, 6, "the grip on 1.2 kg is relaxed to 2.4 N at the commanded height",
           parameters=_HEAVY, plan={"grip": FIRM_GRIP}, script=mishaps.loosen_at_the_top),
    Family("let_go", "lift", _DROP, 6, "the hand opens at the commanded height", Phase.PLACE,
           script=mishaps.open_at_the_top),
    Family("held_too_low", "lift", _TIMEOUT, 6, "held 6 cm below the commanded height", Phase.LIFT, False,
           plan={"goal_offset_m": (0.0, 0.0, -0.06)}),
)  # fmt: skip

_BIN_TRANSPORT = (
    Family("binned", "bin_transport", NONE, 8, "the nominal expert", succeeds=True),
    Family("into_rim", "bin_transport", _COLLISION, 6, "carried into a wall raised to 0.22 m", Phase.CARRY,
           parameters={"rim_top_m": 0.22}),
    Family("loosened", "bin_transport", _DROP, 6, "the grip on 1.2 kg is relaxed to 2.4 N in mid-carry", Phase.CARRY,
           parameters=_HEAVY, plan={"grip": FIRM_GRIP}, script=mishaps.loosen_under_way),
    Family("put_before_bin", "bin_transport", _MISALIGNED, 8, "let go 30 cm before the middle of the bin",
           Phase.PLACE, False, plan={"goal_offset_m": (0.0, -0.30, 0.0)}, script=mishaps.leave_it),
)  # fmt: skip

FAMILIES: tuple[Family, ...] = (*_PICK_PLACE, *_STACK, *_LIFT, *_BIN_TRANSPORT)
