"""Sites: a hidden, seeded map from what a robot can see (object colour, lane) to the hazard that awaits it.

A pretrained policy cannot know a site; a memory of its own failures can learn it.
"""

from __future__ import annotations

from dataclasses import dataclass

from flow_rag_vla.tasks.contract import FaultClass
from flow_rag_vla.tasks.faults import Fault, avoidable_faults, parameter_dict
from flow_rag_vla.tasks.layout import LANE_CENTRES_X_M, sample_layout
from flow_rag_vla.tasks.randomness import keyed_generator
from flow_rag_vla.tasks.scenario import Scenario

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.15, 0.15),
    "orange": (0.90, 0.50, 0.10),
    "yellow": (0.90, 0.85, 0.15),
    "green": (0.15, 0.65, 0.25),
    "blue": (0.15, 0.30, 0.85),
    "purple": (0.55, 0.20, 0.75),
}
"""Visible object colours (red, green, blue; 0 to 1)."""


@dataclass(frozen=True)
class Site:
    """Which colours and which lanes are hazardous here; the rest is harmless."""

    seed: int
    colour_of: dict[str, str]
    """Object-cued fault to the colour that announces it."""
    lane_of: dict[str, int]
    """Region-cued fault to the lane that announces it."""
    plain_colours: tuple[str, ...]
    plain_lanes: tuple[int, ...]

    def scenario(
        self,
        task: str,
        layout_seed: int,
        fault: Fault | None = None,
        fault_class: FaultClass | None = None,
        severity: float | None = None,
    ) -> Scenario:
        """The scenario that ``layout_seed`` names here, with ``fault`` under the cue that this site gives it.

        Args:
            task: Gym id of the task.
            layout_seed: Names layout and plain cues.
            fault: None for a clean scenario (plain colour, plain lane).
            fault_class: ``FaultClass.CONTROL`` for the fault's harmless twin; by default the fault's own class.
            severity: In the fault's unit; by default the fault's default (or control) severity.
        """
        rng = keyed_generator("cue", self.seed, layout_seed)
        colour = self.plain_colours[rng.integers(len(self.plain_colours))]
        lane = self.plain_lanes[rng.integers(len(self.plain_lanes))]
        if fault is None:
            return Scenario(task, self.seed, layout_seed, sample_layout(layout_seed, lane), colour)
        colour = self.colour_of.get(fault.name, colour)
        lane = self.lane_of.get(fault.name, lane)
        fault_class = fault.fault_class if fault_class is None else fault_class
        if severity is None:
            is_control = fault_class is FaultClass.CONTROL
            severity = fault.control_severity if is_control else fault.default_severity
        return Scenario(
            task=task,
            site=self.seed,
            layout_seed=layout_seed,
            layout=sample_layout(layout_seed, lane),
            object_colour=colour,
            fault=fault.name,
            fault_class=fault_class,
            severity=severity,
            parameters=parameter_dict(fault.parameters(severity)),
        )


def make_site(seed: int) -> Site:
    """The site that ``seed`` names: a random assignment of the avoidable faults to colours and lanes.

    Raises:
        ValueError: there are not enough colours or lanes to leave some of them plain.
    """
    rng = keyed_generator("site", seed)
    by_object = [fault.name for fault in avoidable_faults() if fault.cue == "object"]
    by_region = [fault.name for fault in avoidable_faults() if fault.cue == "region"]
    colours = [list(PALETTE)[i] for i in rng.permutation(len(PALETTE))]
    lanes = [int(i) for i in rng.permutation(len(LANE_CENTRES_X_M))]
    if len(by_object) >= len(colours) or len(by_region) >= len(lanes):
        raise ValueError(
            f"a site needs a plain colour and a plain lane: {len(by_object)} object faults for {len(colours)} "
            f"colours, {len(by_region)} region faults for {len(lanes)} lanes"
        )
    return Site(
        seed=seed,
        colour_of=dict(zip(by_object, colours, strict=False)),
        lane_of=dict(zip(by_region, lanes, strict=False)),
        plain_colours=tuple(colours[len(by_object) :]),
        plain_lanes=tuple(lanes[len(by_region) :]),
    )
