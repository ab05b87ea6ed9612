"""MuJoCo Warp solver that also keeps the largest contact forces of a control step and notices overflows."""

# Warp kernels are another language in Python's clothes, and Newton wraps its methods.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportAssignmentType=false, reportCallIssue=false, reportGeneralTypeIssues=false, reportIndexIssue=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import Any

import mujoco
import torch
import warp as wp
from mujoco_warp import OverflowType
from newton import Contacts, Control, Model, ModelFlags, State
from newton.solvers import SolverMuJoCo

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.physics.box_contacts import use_depth_per_contact
from flow_rag_vla.tasks.physics.contact_layout import SENSOR_WIDTH, ContactGroups, contact_sensors_compiled_in

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
):
    """Sum each group's sensors; keep the sum if it is larger than the one kept."""
    world, group = wp.tid()
    force = wp.vec3()
    for sensor in range(membership.shape[1]):
        column = address + SENSOR_WIDTH * sensor + 1
        force += membership[group, sensor] * wp.vec3(
            sensordata[world, column], sensordata[world, column + 1], sensordata[world, column + 2]
        )
    last[world, group] = force
    if wp.length_sq(force) > wp.length_sq(peak[world, group]):
        peak[world, group] = force


class SensingSolver(SolverMuJoCo):
    """``SolverMuJoCo`` with contact groups (num_envs, num_groups, 3) in newtons, world axes.

    ``begin_control_step`` forgets the peaks and overflows of the step before.
    """

    preset = "newton_mjwarp"
    """The physics preset that selects this solver."""

    has_box_contacts_of_mujoco = False
    """Whether contacts between boxes come from native MuJoCo's own code."""

    def __init__(
        self, model: Model, *, contact_groups: ContactGroups, memory_bytes: int | None = None, **kwargs: Any
    ) -> None:
        """Compile ``contact_groups`` into the MuJoCo model; other arguments are ``SolverMuJoCo``'s.

        ``memory_bytes`` is what native MuJoCo may use for contacts and constraints of a world; it decides if None.
        """
        with contact_sensors_compiled_in(contact_groups, memory_bytes) as self.contact_layout:
            super().__init__(model, **kwargs)
        if not self.has_box_contacts_of_mujoco:
            use_depth_per_contact(self.mjw_model)
        shape = (self.mjw_data.nworld, len(self.contact_layout.names))
        self._membership = wp.array(self.contact_layout.membership(), dtype=wp.float32, device=model.device)
        self._peak = wp.zeros(shape, dtype=wp.vec3, device=model.device)
        self._last = wp.zeros(shape, dtype=wp.vec3, device=model.device)
        self._is_box = torch.from_numpy(self.mj_model.geom_type == mujoco.mjtGeom.mjGEOM_BOX).to(
            str(wp.device_to_torch(model.device))
        )

    def begin_control_step(self) -> None:
        """Start a new window for peaks and overflows."""
        self._peak.zero_()
        self.mjw_data.overflow.zero_()

    def step(self, state_in: State, state_out: State, control: Control, contacts: Contacts, dt: float) -> None:
        """Advance one substep and take its contact forces into account."""
        super().step(state_in, state_out, control, contacts, dt)
        wp.launch(
            _latch_forces,
            dim=self._peak.shape,
            inputs=[self.mjw_data.sensordata, self.contact_layout.address, self._membership],
            outputs=[self._last, self._peak],
            device=self.model.device,
        )

    def peak_forces(self) -> torch.Tensor:
        """Per group the force of the substep with the largest magnitude since ``begin_control_step``."""
        return wp.to_torch(self._peak)

    def last_forces(self) -> torch.Tensor:
        """Per group the force of the latest substep."""
        return wp.to_torch(self._last)

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
        texts = {
            InvalidReason.CONTACT_OVERFLOW: "contact buffer overflow (all environments share one): raise nconmax "
            f"({data.naconmax // data.nworld}) {of_preset}",
            InvalidReason.CONSTRAINT_OVERFLOW: f"constraint buffer overflow: raise njmax ({data.njmax}) {of_preset}",
            InvalidReason.SENSOR_OVERFLOW: "more contacts than a contact sensor can add up: raise MuJoCo Warp's "
            "opt.contact_sensor_maxmatch",
            InvalidReason.MEMORY_OVERFLOW: "MuJoCo ran out of memory for contacts or constraints: raise "
            f"memory_bytes ({self.mj_model.narena}) {of_preset}",
            InvalidReason.NON_FINITE_STATE: f"non-finite state: raise NUM_SUBSTEPS {of_preset} (shorter substeps)",
            InvalidReason.RUNAWAY_SPEED: f"a joint or body faster than {MAX_SPEED:.0f} m/s or rad/s: raise "
            f"NUM_SUBSTEPS {of_preset} (shorter substeps)",
            InvalidReason.OBJECT_IN_TABLE: "the object went through the table: raise NUM_SUBSTEPS "
            f"{of_preset} (shorter substeps) or stiffen the object's solref",
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
