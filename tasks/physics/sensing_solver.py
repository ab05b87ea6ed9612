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

from flow_rag_vla.tasks.physics.contact_layout import SENSOR_WIDTH, ContactGroups, contact_sensors_compiled_in

_INVALIDATING = int(
    OverflowType.NEFC
    | OverflowType.NJMAX_NNZ
    | OverflowType.BROADPHASE
    | OverflowType.NARROWPHASE
    | OverflowType.CCD
    | OverflowType.CONTACT_MATCH
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

    def __init__(self, model: Model, *, contact_groups: ContactGroups, **kwargs: Any) -> None:
        """Compile ``contact_groups`` into the MuJoCo model; other arguments are ``SolverMuJoCo``'s."""
        with contact_sensors_compiled_in(contact_groups) as self.contact_layout:
            super().__init__(model, **kwargs)
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

    def invalid_mask(self) -> torch.Tensor:
        """(num_envs,) bool: state not finite, blown up, or contacts dropped since ``begin_control_step``."""
        qpos, qvel = wp.to_torch(self.mjw_data.qpos), wp.to_torch(self.mjw_data.qvel)
        # NaN fails every comparison.
        sane = torch.isfinite(qpos).all(dim=1) & (qvel.abs() < MAX_SPEED).all(dim=1)
        return ~sane | (wp.to_torch(self.mjw_data.overflow) & _INVALIDATING).bool()

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
