"""Which contacts are measured, force or depth: named groups of body pairs, compiled into MuJoCo contact sensors."""

# mujoco's enums and spec come from a compiled module without stubs.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import mujoco
import numpy as np

ContactGroups = Mapping[str, Sequence[tuple[str, str]]]
"""Group name to pairs of regular expressions ``(on, by)``: the sum of forces on the first by the second, or of depths.

The expressions are searched in the names of bodies, and in those of geoms that belong to the world (a table)."""

FORCE_WIDTH = 4
"""A force sensor reports whether there is contact (1) and the net force in world axes (3)."""

DEPTH_WIDTH = 2
"""A depth sensor reports whether there is contact (1) and the distance, negative where bodies overlap (1)."""


def _reports(*fields: mujoco.mjtConDataField) -> int:
    return sum(1 << int(field) for field in fields)


_FOUND, _FORCE, _DIST = (
    mujoco.mjtConDataField.mjCONDATA_FOUND,
    mujoco.mjtConDataField.mjCONDATA_FORCE,
    mujoco.mjtConDataField.mjCONDATA_DIST,
)
_NEAREST, _NET_FORCE = 1, 3
"""What MuJoCo makes of several contacts of a pair."""


@dataclass
class SensorGroups:
    """Sensors of one kind, in a row in the sensor data."""

    names: list[str] = field(default_factory=list)
    """Group names, in the order of what is read."""
    members: list[list[int]] = field(default_factory=list)
    """Per group: indices of its sensors; groups may share sensors."""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Per sensor: names of the two bodies (or world geoms), ``(on, by)``."""
    address: int = 0
    """Column of the first sensor in the sensor data."""

    def membership(self) -> np.ndarray:
        """(groups, sensors) of 0 and 1."""
        matrix = np.zeros((len(self.names), len(self.pairs)))
        for row, sensors in zip(matrix, self.members, strict=True):
            row[sensors] = 1.0
        return matrix


@dataclass
class ContactLayout:
    """Where the groups' sensors are in the sensor data."""

    forces: SensorGroups = field(default_factory=SensorGroups)
    depths: SensorGroups = field(default_factory=SensorGroups)


def _named_parts(spec: mujoco.MjSpec) -> dict[str, mujoco.mjtObj]:
    parts = {body.name: mujoco.mjtObj.mjOBJ_BODY for body in spec.bodies[1:] if len(body.geoms) > 0}
    parts.update({geom.name: mujoco.mjtObj.mjOBJ_GEOM for geom in spec.worldbody.geoms})
    return parts


def _grouped(parts: dict[str, mujoco.mjtObj], groups: ContactGroups) -> SensorGroups:
    """The pairs among ``parts`` that ``groups`` name.

    Raises:
        ValueError: a group matches nothing.
    """
    found = SensorGroups()
    for group, expressions in groups.items():
        pairs = [
            (on, by)
            for on_regex, by_regex in expressions
            for on in parts
            if re.search(on_regex, on)
            for by in parts
            if re.search(by_regex, by)
        ]
        if not pairs:
            raise ValueError(f"contact group {group!r} matches no pair among {sorted(parts)}")
        found.pairs.extend(pair for pair in pairs if pair not in found.pairs)
        found.names.append(group)
        found.members.append([found.pairs.index(pair) for pair in pairs])
    return found


def add_contact_sensors(
    spec: mujoco.MjSpec, force_groups: ContactGroups, depth_groups: ContactGroups | None = None
) -> ContactLayout:
    """Add to ``spec`` a net-force sensor and a depth sensor per matching pair of either kind of groups.

    Raises:
        ValueError: a group matches nothing.
    """
    parts = _named_parts(spec)
    layout = ContactLayout(_grouped(parts, force_groups), _grouped(parts, depth_groups or {}))
    kinds = (
        ("contact", layout.forces, _reports(_FOUND, _FORCE), _NET_FORCE),
        ("depth", layout.depths, _reports(_FOUND, _DIST), _NEAREST),
    )
    for kind, groups, reports, reduce in kinds:
        for i, (on, by) in enumerate(groups.pairs):
            # MuJoCo reports the force that acts on the second ("ref") object.
            spec.add_sensor(
                name=f"{kind}_{i}",
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=parts[by],
                objname=by,
                reftype=parts[on],
                refname=on,
                intprm=[reports, reduce, 1],
            )
    return layout


@contextmanager
def contact_sensors_compiled_in(
    force_groups: ContactGroups, depth_groups: ContactGroups | None = None, memory_bytes: int | None = None
) -> Iterator[ContactLayout]:
    """Add the sensors to whatever ``MjSpec`` is compiled inside; the layout is complete on exit.

    ``memory_bytes`` goes to the spec as well, for contacts and constraints of native MuJoCo.

    Newton's solver builds its spec and compiles it in one private function, so ``MjSpec.compile`` is the only seam.
    """
    layout = ContactLayout()
    original = mujoco.MjSpec.compile

    def compile_with_sensors(spec: mujoco.MjSpec, *args, **kwargs) -> mujoco.MjModel:
        added = add_contact_sensors(spec, force_groups, depth_groups)
        if memory_bytes is not None:
            spec.memory = memory_bytes
        model = original(spec, *args, **kwargs)
        for kind, groups in (("contact", added.forces), ("depth", added.depths)):
            if groups.pairs:
                groups.address = int(model.sensor_adr[model.sensor(f"{kind}_0").id])
        layout.forces, layout.depths = added.forces, added.depths
        return model

    mujoco.MjSpec.compile = compile_with_sensors
    try:
        yield layout
    finally:
        mujoco.MjSpec.compile = original
