"""MuJoCo Warp solver that also keeps the largest contact forces of a control step and notices overflows."""

# Warp kernels are another language in Python's clothes, and Newton wraps its methods.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false, reportGeneralTypeIssues=false, reportIndexIssue=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import mujoco
import torch
import warp as wp
from mujoco_warp import OverflowType, get_data_into
from newton import Contacts, Control, Model, ModelFlags, State
from newton.solvers import SolverMuJoCo

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.facts.contact_parameters import CONTACT_TIME_S, MAX_PENETRATION_M, MOST_SUBSTEPS, NUM_SUBSTEPS
from flow_rag_vla.tasks.physics.box_contacts import use_depth_per_contact
from flow_rag_vla.tasks.physics.contact_layout import (
    DEPTH_WIDTH,
    FORCE_WIDTH,
    ContactGroups,
    contact_sensors_compiled_in,
)

_OVERFLOWS = (
    (InvalidReason.CONTACT_OVERFLOW, int(OverflowType.BROADPHASE | OverflowType.NARROWPHASE | OverflowType.CCD)),
    (InvalidReason.CONSTRAINT_OVERFLOW, int(OverflowType.NEFC | OverflowType.NJMAX_NNZ)),
    (InvalidReason.SENSOR_OVERFLOW, int(OverflowType.CONTACT_MATCH)),
)
"""Overflows that drop contacts or forces; running out of solver iterations does not."""

MAX_SPEED = 1.0e3
"""m/s or rad/s; a joint faster than this has blown up."""


@wp.kernel
def _latch_forces(
    sensordata: wp.array2d[wp.float32],
    address: int,
    membership: wp.array2d[wp.float32],
    last: wp.array2d[wp.vec3],
    peak: wp.array2d[wp.vec3],
    total: wp.array2d[wp.vec3],
    substeps: wp.array2d[wp.float32],
):
    """Sum each group's sensors; keep the sum if it is larger than the one kept, and add it to the control step's."""
    world, group = wp.tid()
    substeps[world, group] += 1.0
    force = wp.vec3()
    for sensor in range(membership.shape[1]):
        column = address + FORCE_WIDTH * sensor + 1
        force += membership[group, sensor] * wp.vec3(
            sensordata[world, column], sensordata[world, column + 1], sensordata[world, column + 2]
        )
    last[world, group] = force
    total[world, group] += force
    if wp.length_sq(force) > wp.length_sq(peak[world, group]):
        peak[world, group] = force


@wp.kernel
def _latch_depths(
    sensordata: wp.array2d[wp.float32],
    address: int,
    membership: wp.array2d[wp.float32],
    substeps: wp.array2d[wp.float32],
    log: wp.array3d[wp.float32],
):
    """Sum the depths of each group's sensors into the row of this substep; what has no row is left out."""
    world, group = wp.tid()
    row = int(substeps[world, 0]) - 1
    if row >= log.shape[1]:
        return
    depth = wp.float32(0.0)
    for sensor in range(membership.shape[1]):
        column = address + DEPTH_WIDTH * sensor
        if sensordata[world, column] > 0.0:
            depth += membership[group, sensor] * wp.max(-sensordata[world, column + 1], 0.0)
    log[world, row, group] = depth


def lasting_depths(depths: torch.Tensor, dt: float) -> torch.Tensor:
    """The deepest that bodies stay in one another for the time constant of contacts, or on average if that is deeper.

    An impact is noticed a step late, ``speed * dt`` deep, and pushed out again within that time; what lasts longer, or
    comes again and again, is held there.

    Args:
        depths: (num_envs, substeps, groups) depth in each substep of a control step, m.
        dt: Substep, s.

    Returns:
        (num_envs, groups), m.
    """
    window = min(max(1, math.ceil(CONTACT_TIME_S / dt)), max(1, depths.shape[1]))
    if depths.shape[1] == 0:
        return depths.new_zeros(depths.shape[0], depths.shape[2])
    return torch.maximum(depths.unfold(1, window, 1).amin(dim=3).amax(dim=1), depths.mean(dim=1))


def _peak(depths: torch.Tensor) -> torch.Tensor:
    """(num_envs, substeps, groups) to (num_envs, groups), 0 without substeps."""
    return depths.new_zeros(depths.shape[0], depths.shape[2]) if depths.shape[1] == 0 else depths.amax(dim=1)


class SensingSolver(SolverMuJoCo):
    """``SolverMuJoCo`` with contact groups: forces (num_envs, groups, 3) in newtons, world axes, and depths in m.

    ``begin_control_step`` forgets the peaks and overflows of the step before.
    """

    preset = "newton_mjwarp"
    """The physics preset that selects this solver."""

    has_box_contacts_of_mujoco = False
    """Whether contacts between boxes come from native MuJoCo's own code."""

    def __init__(
        self,
        model: Model,
        *,
        contact_groups: ContactGroups,
        depth_groups: ContactGroups | None = None,
        memory_bytes: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Compile ``contact_groups`` and ``depth_groups`` into the MuJoCo model; the rest is ``SolverMuJoCo``'s.

        ``memory_bytes`` is what native MuJoCo may use for contacts and constraints of a world; it decides if None.
        """
        with contact_sensors_compiled_in(contact_groups, depth_groups, memory_bytes) as self.contact_layout:
            super().__init__(model, **kwargs)
        if not self.has_box_contacts_of_mujoco:
            use_depth_per_contact(self.mjw_model)
        forces, depths = self.contact_layout.forces, self.contact_layout.depths
        worlds, device = self.mjw_data.nworld, model.device
        self._force_membership = wp.array(forces.membership(), dtype=wp.float32, device=device)
        self._peak = wp.zeros((worlds, len(forces.names)), dtype=wp.vec3, device=device)
        self._last, self._total = wp.zeros_like(self._peak), wp.zeros_like(self._peak)
        # Counted where the forces are, since captured graphs replay without Python.
        self._substeps = wp.zeros(self._peak.shape, dtype=wp.float32, device=device)
        self._depth_membership = wp.array(depths.membership(), dtype=wp.float32, device=device)
        self._depths = wp.zeros((worlds, MOST_SUBSTEPS, len(depths.names)), dtype=wp.float32, device=device)
        # A captured graph steps without Python, but always as often as when it was captured.
        self._dt, self._count = CONTACT_TIME_S, 0
        self._is_box = torch.from_numpy(self.mj_model.geom_type == mujoco.mjtGeom.mjGEOM_BOX).to(
            str(wp.device_to_torch(model.device))
        )

    def leave(self, worlds: torch.Tensor) -> None:
        """Say of which ``worlds`` (num_envs,) bool nobody asks any more; here they are stepped with the others."""

    def begin_control_step(self) -> None:
        """Start a new window for peaks and overflows."""
        self._peak.zero_()
        self._total.zero_()
        self._depths.zero_()
        self._count = 0
        self._substeps.zero_()
        self.mjw_data.overflow.zero_()

    def step(self, state_in: State, state_out: State, control: Control, contacts: Contacts, dt: float) -> None:
        """Advance one substep and take its contact forces into account."""
        super().step(state_in, state_out, control, contacts, dt)
        self._dt, self._count = dt, self._count + 1
        sensed, forces, depths = self.mjw_data.sensordata, self.contact_layout.forces, self.contact_layout.depths
        wp.launch(
            _latch_forces,
            dim=self._peak.shape,
            inputs=[sensed, forces.address, self._force_membership],
            outputs=[self._last, self._peak, self._total, self._substeps],
            device=self.model.device,
        )
        wp.launch(
            _latch_depths,
            dim=(self._depths.shape[0], self._depths.shape[2]),
            inputs=[sensed, depths.address, self._depth_membership, self._substeps],
            outputs=[self._depths],
            device=self.model.device,
        )

    def peak_forces(self) -> torch.Tensor:
        """Per group the force of the substep with the largest magnitude since ``begin_control_step``."""
        return wp.to_torch(self._peak)

    def mean_forces(self) -> torch.Tensor:
        """Per group the mean force of the substeps since ``begin_control_step``."""
        return wp.to_torch(self._total) / wp.to_torch(self._substeps).clamp(min=1.0).unsqueeze(2)

    def depths(self) -> torch.Tensor:
        """(num_envs, groups) per depth group the deepest that lasted since ``begin_control_step``, m."""
        return lasting_depths(self._depths_by_substep(), self._dt)

    def peak_depths(self) -> torch.Tensor:
        """(num_envs, groups) per depth group the deepest of any substep since ``begin_control_step``, m."""
        return _peak(self._depths_by_substep())

    def _depths_by_substep(self) -> torch.Tensor:
        """(num_envs, substeps, groups) of the latest control step, m."""
        return wp.to_torch(self._depths)[:, : self._count]

    def last_forces(self) -> torch.Tensor:
        """Per group the force of the latest substep."""
        return wp.to_torch(self._last)

    def snapshots(self) -> Iterator[tuple[mujoco.MjModel, mujoco.MjData]]:
        """For each world a model and MuJoCo Warp's own data of the latest substep, forces included; slow."""
        for world in range(self.mjw_data.nworld):
            data = mujoco.MjData(self.mj_model)
            get_data_into(data, self.mj_model, self.mjw_data, world_id=world)
            yield self.mj_model, data

    def invalid_reason(self) -> torch.Tensor:
        """(num_envs,) index into ``INVALID_REASONS``, -1 where the state is sane and nothing has been dropped.

        An overflow since ``begin_control_step`` goes before the broken state that it may have led to.
        """
        reason = self._state_reason()
        overflow = wp.to_torch(self.mjw_data.overflow)
        for why, bits in reversed(_OVERFLOWS):
            reason[(overflow & bits).bool()] = INVALID_REASONS.index(why)
        return reason

    def _state_reason(self) -> torch.Tensor:
        """(num_envs,) int64: what is wrong with positions and speeds, -1 where nothing is."""
        qpos, qvel = wp.to_torch(self.mjw_data.qpos), wp.to_torch(self.mjw_data.qvel)
        reason = torch.full((len(qpos),), -1, dtype=torch.long, device=qpos.device)
        reason[(qvel.abs() >= MAX_SPEED).any(dim=1)] = INVALID_REASONS.index(InvalidReason.RUNAWAY_SPEED)
        finite = torch.isfinite(qpos).all(dim=1) & torch.isfinite(qvel).all(dim=1)
        reason[~finite] = INVALID_REASONS.index(InvalidReason.NON_FINITE_STATE)
        return reason

    def explain(self, reason: InvalidReason) -> str:
        """What ``reason`` means here and which setting to change, in one line."""
        data, of_preset = self.mjw_data, f"of physics preset {self.preset}"
        shorter = f"raise NUM_SUBSTEPS ({NUM_SUBSTEPS}) of tasks/facts/contact_parameters.py (shorter substeps)"
        texts = {
            InvalidReason.CONTACT_OVERFLOW: "contact buffer overflow (all environments share one): raise nconmax "
            f"({data.naconmax // data.nworld}) {of_preset}",
            InvalidReason.CONSTRAINT_OVERFLOW: f"constraint buffer overflow: raise njmax ({data.njmax}) {of_preset}",
            InvalidReason.SENSOR_OVERFLOW: "more contacts than a contact sensor can add up: raise MuJoCo Warp's "
            "opt.contact_sensor_maxmatch",
            InvalidReason.MEMORY_OVERFLOW: "MuJoCo ran out of memory for contacts or constraints: raise "
            f"memory_bytes ({self.mj_model.narena}) {of_preset}",
            InvalidReason.NON_FINITE_STATE: f"non-finite state: {shorter}",
            InvalidReason.RUNAWAY_SPEED: f"a joint or body faster than {MAX_SPEED:.0f} m/s or rad/s: {shorter}",
            InvalidReason.OBJECT_IN_TABLE: f"the object went through the table: {shorter}, or stiffen CONTACT_SOLREF",
            InvalidReason.PENETRATION: f"the finger pads sank into the object by more than {1e3 * MAX_PENETRATION_M:g} "
            f"mm together: {shorter}, or stiffen CONTACT_SOLIMP",
        }
        return texts[reason]

    def _notify_model_changed(self, flags: ModelFlags | int) -> None:
        super()._notify_model_changed(flags)
        if flags & ModelFlags.SHAPE_PROPERTIES and hasattr(self, "_is_box"):
            self._refresh_box_bounds()

    def _refresh_box_bounds(self) -> None:
        """Make the broadphase bounds follow the boxes' sizes.

        Newton leaves them as built, so that a grown box would be noticed late.
        """
        size = wp.to_torch(self.mjw_model.geom_size)
        wp.to_torch(self.mjw_model.geom_rbound)[:, self._is_box] = size[:, self._is_box].norm(dim=-1)
        # One bounding box serves all worlds where the array is not expanded: take the largest.
        bounds = wp.to_torch(self.mjw_model.geom_aabb)
        half = size if bounds.shape[0] == size.shape[0] else size.amax(dim=0, keepdim=True)
        bounds[:, self._is_box, 1] = half[:, self._is_box]
