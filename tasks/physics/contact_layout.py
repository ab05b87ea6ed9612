"""Which contact forces are measured: named groups of body pairs, compiled into MuJoCo contact sensors."""

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
"""Group name to pairs of regular expressions ``(on, by)``: the group is the sum of forces on the first by the second.

The expressions are searched in the names of bodies, and in those of geoms that belong to the world (a table)."""

SENSOR_WIDTH = 4
"""A sensor reports whether there is contact (1) and the net force in world axes (3)."""

_FOUND_AND_FORCE = (1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND)) | (
    1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE)
)
_NET_FORCE = 3


@dataclass
class ContactLayout:
    """Where the groups' sensors are in the sensor data."""

    names: list[str] = field(default_factory=list)
    """Group names, in the order of the forces."""
    members: list[list[int]] = field(default_factory=list)
    """Per group: indices of its sensors; groups may share sensors."""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    """Per sensor: names of the two bodies (or world geoms), ``(on, by)``."""
    address: int = 0
    """Column of the first sensor in the sensor data."""

    @property
    def num_sensors(self) -> int:
        """Number of sensors over all groups."""
        return len(self.pairs)

    def membership(self) -> np.ndarray:
        """(groups, sensors) of 0 and 1."""
        matrix = np.zeros((len(self.names), self.num_sensors))
        for row, sensors in zip(matrix, self.members, strict=True):
            row[sensors] = 1.0
        return matrix


def _named_parts(spec: mujoco.MjSpec) -> dict[str, mujoco.mjtObj]:
    parts = {body.name: mujoco.mjtObj.mjOBJ_BODY for body in spec.bodies[1:] if len(body.geoms) > 0}
    parts.update({geom.name: mujoco.mjtObj.mjOBJ_GEOM for geom in spec.worldbody.geoms})
    return parts


def add_contact_sensors(spec: mujoco.MjSpec, groups: ContactGroups) -> ContactLayout:
    """Add one net-force sensor per matching pair to ``spec``.

    Raises:
        ValueError: a group matches nothing.
    """
    layout = ContactLayout()
    parts = _named_parts(spec)
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
        layout.pairs.extend(pair for pair in pairs if pair not in layout.pairs)
        layout.names.append(group)
        layout.members.append([layout.pairs.index(pair) for pair in pairs])
    for i, (on, by) in enumerate(layout.pairs):
        # MuJoCo reports the force that acts on the second ("ref") object.
        spec.add_sensor(
            name=f"contact_{i}",
            type=mujoco.mjtSensor.mjSENS_CONTACT,
            objtype=parts[by],
            objname=by,
            reftype=parts[on],
            refname=on,
            intprm=[_FOUND_AND_FORCE, _NET_FORCE, 1],
        )
    return layout


@contextmanager
def contact_sensors_compiled_in(groups: ContactGroups, memory_bytes: int | None = None) -> Iterator[ContactLayout]:
    """Add the sensors to whatever ``MjSpec`` is compiled inside; the layout is complete on exit.

    ``memory_bytes`` goes to the spec as well, for contacts and constraints of native MuJoCo.

    Newton's solver builds its spec and compiles it in one private function, so ``MjSpec.compile`` is the only seam.
    """
    layout = ContactLayout()
    original = mujoco.MjSpec.compile

    def compile_with_sensors(spec: mujoco.MjSpec, *args, **kwargs) -> mujoco.MjModel:
        added = add_contact_sensors(spec, groups)
        if memory_bytes is not None:
            spec.memory = memory_bytes
        model = original(spec, *args, **kwargs)
        vars(layout).update(vars(added))
        if layout.num_sensors:
            layout.address = int(model.sensor_adr[model.sensor("contact_0").id])
        return model

    mujoco.MjSpec.compile = compile_with_sensors
    try:
        yield layout
    finally:
        mujoco.MjSpec.compile = original
