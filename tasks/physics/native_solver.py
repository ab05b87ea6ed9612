"""The Newton model stepped by native MuJoCo C on all CPU cores, instead of single-threaded MuJoCo Warp."""

# mujoco's enums come from a compiled module, and Newton declares its MuJoCo arrays as optional.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
import torch
from mujoco import mjtState, rollout
from newton import Contacts, Control, Model, ModelFlags, State

from flow_rag_vla.tasks.contract import INVALID_REASONS, InvalidReason
from flow_rag_vla.tasks.physics.contact_layout import DEPTH_WIDTH, FORCE_WIDTH, ContactGroups, SensorGroups
from flow_rag_vla.tasks.physics.sensing_solver import SensingSolver, lasting_depths

logger = logging.getLogger(__name__)

THREADS_VARIABLE = "FLOW_RAG_VLA_PHYSICS_THREADS"

_CONTROL_SPEC = int(
    mjtState.mjSTATE_CTRL
    | mjtState.mjSTATE_QFRC_APPLIED
    | mjtState.mjSTATE_XFRC_APPLIED
    | mjtState.mjSTATE_MOCAP_POS
    | mjtState.mjSTATE_MOCAP_QUAT
)
_CONTROL_FIELDS = ("ctrl", "qfrc_applied", "xfrc_applied", "mocap_pos", "mocap_quat")
"""The same, in MuJoCo's order.  Mocap poses belong to it: Newton's fixed-base robots are mocap bodies."""

_INERTIAL_FIELDS = (
    "body_pos", "body_quat", "body_ipos", "body_iquat", "body_mass", "body_inertia", "dof_armature", "qpos0",
)  # fmt: skip
"""Per-world parameters from which ``mj_setConst`` derives subtree masses and inverse weights."""

_WORLD_FIELDS = (
    *_INERTIAL_FIELDS, "body_gravcomp", "jnt_solref", "jnt_solimp", "jnt_range", "jnt_stiffness", "jnt_actfrcrange",
    "dof_damping", "dof_frictionloss", "geom_solref", "geom_solimp", "geom_size", "geom_rbound", "geom_pos",
    "geom_quat", "geom_friction", "geom_margin", "geom_gap", "actuator_gainprm", "actuator_biasprm",
    "actuator_ctrlrange", "actuator_forcerange", "qpos_spring",
)  # fmt: skip
"""Parameters that each world may have for itself."""

_TOLERANCE = 1.0e-12
_ITERATIONS = 100
"""Against a kinematic body (armature 1e10) MuJoCo's default of 1e-8 stops before the first iteration, and forces are
twice too large or an arm is catapulted; from 1e-12 on they are MuJoCo Warp's within 0.2 %.  The solver converges in one
or two iterations, so it costs nothing."""


def _log_warning(message: str) -> None:
    logger.debug("MuJoCo: %s", message)


def physics_threads() -> int:
    """Threads to step with: ``FLOW_RAG_VLA_PHYSICS_THREADS``, else the cores this process may use.

    Raises:
        ValueError: the variable is not a positive whole number.
    """
    text = os.environ.get(THREADS_VARIABLE)
    if text is None:
        return len(os.sched_getaffinity(0))
    if not text.isdigit() or int(text) == 0:
        raise ValueError(f"{THREADS_VARIABLE} must be a positive whole number, got {text!r}")
    return int(text)


class NativeSolver(SensingSolver):
    """Runs ``mujoco.rollout`` over one ``MjModel`` per world; Newton's arrays stay the interface.

    A control step is a pure function of the Newton state, control and model: no warm start, clock or other memory
    is carried over, so a world's result depends neither on its neighbours nor on the number of threads.
    """

    preset = "newton_mujoco"
    has_box_contacts_of_mujoco = True

    def __init__(self, model: Model, *, contact_groups: ContactGroups, **kwargs: Any) -> None:
        """See ``SensingSolver``; raises ``ValueError`` for a model that is not on the CPU."""
        if model.device.is_cuda:
            raise ValueError(f"native MuJoCo steps on the CPU, but the model is on {model.device}")
        # By default MuJoCo appends every warning to MUJOCO_LOG.TXT in the current folder.
        mujoco.set_mju_user_warning(_log_warning)
        self._models: list[mujoco.MjModel] = []
        super().__init__(model, contact_groups=contact_groups, **kwargs)
        self._num_worlds = self.mjw_data.nworld
        self._synced: dict[str, np.ndarray] = {}
        self._stale = True
        self._membership_of_forces = self.contact_layout.forces.membership()
        self._membership_of_depths = self.contact_layout.depths.membership()
        self._prepare_template()
        self._models = [copy.copy(self.mj_model) for _ in range(self._num_worlds)]
        threads = min(physics_threads(), self._num_worlds)
        self._datas = [mujoco.MjData(self.mj_model) for _ in range(threads)]
        self._pool = rollout.Rollout(nthread=threads if threads > 1 else 0)
        m = self.mj_model
        num_states = mujoco.mj_stateSize(m, mjtState.mjSTATE_FULLPHYSICS.value)
        if num_states != 1 + m.nq + m.nv:
            raise ValueError("models with activations or plugin state are not supported")
        self._initial = np.zeros((self._num_worlds, num_states))
        self._warmstart = np.zeros((self._num_worlds, m.nv))
        self._control = np.zeros((self._num_worlds, 0, mujoco.mj_stateSize(m, _CONTROL_SPEC)))
        self._states = np.zeros((self._num_worlds, 0, num_states))
        self._sensed = np.zeros((self._num_worlds, 0, m.nsensordata))
        self._stepped = np.arange(self._num_worlds)
        self._commanded: dict[str, np.ndarray] = {}
        """What ``_control`` holds of each field, (num_envs, k)."""
        # Of the groups in the latest control step, once somebody has asked; nothing is pressed before the first.
        self._forces: np.ndarray | None = np.zeros((self._num_worlds, 1, len(self._membership_of_forces), 3))
        self._depths_sensed: torch.Tensor | None = None

    def _prepare_template(self) -> None:
        option = self.mj_model.opt
        option.tolerance = _TOLERANCE
        option.iterations = max(_ITERATIONS, option.iterations)
        option.ls_iterations = max(50, option.ls_iterations)
        # A world that blows up must be seen, not put back to its initial state; and box bounds inside the
        # midphase tree would not follow changed sizes (all bodies have few geoms, so it saves nothing).
        option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET | mujoco.mjtDisableBit.mjDSBL_MIDPHASE

    def _notify_model_changed(self, flags: ModelFlags | int) -> None:
        if self._models and int(flags) == int(ModelFlags.BODY_INERTIAL_PROPERTIES):
            # MuJoCo Warp would derive its constants for all worlds, 0.3 s for 1024; mj_setConst does it for the
            # changed ones when they are copied.
            self._update_model_inertial_properties()
        else:
            super()._notify_model_changed(flags)
        self._stale = True

    def _sync_models(self) -> None:
        """Copy what changed in the per-world parameters to the ``MjModel`` of each world."""
        inertial: set[int] = set()
        resized: set[int] = set()
        for name in _WORLD_FIELDS:
            worlds = self._copy_field(name)
            if name in _INERTIAL_FIELDS:
                inertial.update(worlds)
            elif name == "geom_size":
                resized.update(worlds)
        # The kinematic bodies' armature must not count in the mean inertia, which scales the solver's stopping test.
        mean_inertia = float(self.mjw_model.stat.meaninertia.numpy()[0])
        for world in inertial:
            mujoco.mj_setConst(self._models[world], self._datas[0])
            self._models[world].stat.meaninertia = mean_inertia
        boxes = self._is_box.numpy()
        for world in resized:
            self._models[world].geom_aabb[boxes, 3:] = self._models[world].geom_size[boxes]
        self._stale = False

    def _copy_field(self, name: str) -> list[int]:
        """Bring one parameter up to date; returns the worlds in which it changed."""
        template = getattr(self.mj_model, name)
        if template.size == 0:
            return []
        values = getattr(self.mjw_model, name).numpy()
        values = np.broadcast_to(values.reshape(len(values), -1), (self._num_worlds, template.size))
        known = self._synced.get(name)
        changed = np.arange(self._num_worlds) if known is None else np.flatnonzero((values != known).any(axis=1))
        for world in changed:
            getattr(self._models[world], name)[...] = values[world].reshape(template.shape)
        if len(changed) > 0:
            self._synced[name] = values.copy()
        return changed.tolist()

    def begin_control_step(self) -> None:
        """Nothing to forget: every rollout starts a new window."""

    def leave(self, worlds: torch.Tensor) -> None:
        """Step ``worlds`` (num_envs,) bool no more: they stay as they are, with the forces of their last step."""
        self._stepped = np.flatnonzero(~worlds.numpy())

    def run(self, state: State, control: Control, dt: float, num_substeps: int) -> None:
        """Advance ``state`` in place by ``num_substeps`` of ``dt`` seconds under constant ``control``."""
        data, m = self.mjw_data, self.mj_model
        if self._stale:
            self._sync_models()
        if self._models[0].opt.timestep != dt:
            for model in self._models:
                model.opt.timestep = dt
        if self._control.shape[1] != num_substeps:
            self._allocate(num_substeps)

        self._apply_mjc_control(self.model, state, control, data)
        self._update_mjc_data(data, self.model, state)
        qpos, qvel = data.qpos.numpy(), data.qvel.numpy()
        self._initial[:, 1 : 1 + m.nq] = qpos
        self._initial[:, 1 + m.nq :] = qvel
        column = 0
        for name in _CONTROL_FIELDS:
            values = getattr(data, name).numpy().reshape(self._num_worlds, -1)
            # Most of them seldom change, and there is a row a substep to write.
            if name not in self._commanded or not np.array_equal(values, self._commanded[name]):
                self._control[:, :, column : column + values.shape[1]] = values[:, None]
                self._commanded[name] = values.copy()
            column += values.shape[1]

        stepped = self._stepped
        if len(stepped) == self._num_worlds:
            self._roll_out(self._models, self._initial, self._control, self._states, self._sensed)
        elif len(stepped) > 0:
            states, sensed = (np.empty((len(stepped), *old.shape[1:])) for old in (self._states, self._sensed))
            models = [self._models[world] for world in stepped]
            self._roll_out(models, self._initial[stepped], self._control[stepped], states, sensed)
            self._states[stepped], self._sensed[stepped] = states, sensed
        self._forces = self._depths_sensed = None
        qpos[stepped] = self._states[stepped, -1, 1 : 1 + m.nq]
        qvel[stepped] = self._states[stepped, -1, 1 + m.nq :]
        self._update_newton_state(self.model, state, data, state_prev=state)
        self._step += num_substeps

    def _roll_out(
        self,
        models: list[mujoco.MjModel],
        initial: np.ndarray,
        control: np.ndarray,
        states: np.ndarray,
        sensed: np.ndarray,
    ) -> None:
        """Step ``models`` from ``initial`` under ``control``; fills ``states`` and ``sensed``."""
        self._pool.rollout(
            models, self._datas, initial, control, control_spec=_CONTROL_SPEC, skip_checks=True,
            nstep=control.shape[1], initial_warmstart=self._warmstart[: len(models)], state=states, sensordata=sensed,
        )  # fmt: skip

    def _allocate(self, num_substeps: int) -> None:
        def resized(array: np.ndarray) -> np.ndarray:
            return np.zeros((self._num_worlds, num_substeps, array.shape[2]))

        self._control, self._states, self._sensed = map(resized, (self._control, self._states, self._sensed))
        self._commanded.clear()
        self._forces = self._depths_sensed = None

    def step(self, state_in: State, state_out: State, control: Control, contacts: Contacts, dt: float) -> None:
        """Advance one substep.

        Raises:
            ValueError: the states differ; the manager keeps a single one.
        """
        if state_in is not state_out:
            raise ValueError("native MuJoCo steps a single state in place")
        self.run(state_in, control, dt, 1)

    def _sensor_forces(self) -> np.ndarray:
        """(num_envs, substeps, sensors, 3) of the latest control step."""
        return self._columns(self.contact_layout.forces, FORCE_WIDTH)[..., 1:]

    def _columns(self, sensors: SensorGroups, width: int) -> np.ndarray:
        """(num_envs, substeps, sensors, width) of the latest control step."""
        count = len(sensors.pairs)
        columns = self._sensed[:, :, sensors.address : sensors.address + width * count]
        return columns.reshape(*columns.shape[:2], count, width)

    def _group_forces(self) -> np.ndarray:
        """(num_envs, substeps, groups, 3) of the latest control step."""
        if self._forces is None:
            self._forces = self._membership_of_forces @ self._sensor_forces()
        return self._forces

    def peak_forces(self) -> torch.Tensor:
        """Per group the force of the substep with the largest magnitude in the latest control step."""
        return torch.from_numpy(_largest_substep(self._group_forces())).float()

    def mean_forces(self) -> torch.Tensor:
        """Per group the mean force of the latest control step."""
        return torch.from_numpy(self._group_forces().mean(axis=1)).float()

    def last_forces(self) -> torch.Tensor:
        """Per group the force of the latest substep."""
        return torch.from_numpy(self._group_forces()[:, -1]).float()

    def depths(self) -> torch.Tensor:
        """Per group the deepest that lasted in the latest control step."""
        return lasting_depths(self._depths_by_substep(), self._models[0].opt.timestep)

    def _depths_by_substep(self) -> torch.Tensor:
        """(num_envs, substeps, groups) of the latest control step, m."""
        if self._depths_sensed is None:
            found, distance = np.moveaxis(self._columns(self.contact_layout.depths, DEPTH_WIDTH), -1, 0)
            depths = np.where(found > 0.0, np.maximum(-distance, 0.0), 0.0)
            of_groups = np.einsum("gs,eps->epg", self._membership_of_depths, depths)
            self._depths_sensed = torch.from_numpy(of_groups).float()
        return self._depths_sensed

    def snapshots(self) -> Iterator[tuple[mujoco.MjModel, mujoco.MjData]]:
        """For each world its own model and data, forces made anew from the state: a rollout keeps none; slow."""
        for world, model in enumerate(self._models):
            data = mujoco.MjData(model)
            for name in ("qpos", "qvel", *_CONTROL_FIELDS):
                getattr(data, name)[...] = getattr(self.mjw_data, name).numpy()[world]
            mujoco.mj_forward(model, data)
            yield model, data

    def invalid_reason(self) -> torch.Tensor:
        """(num_envs,) index into ``INVALID_REASONS``, -1 where the state is sane and no contact was dropped."""
        reason = self._state_reason()
        if self._states.shape[1] > 0:
            # A rollout stops where MuJoCo warns: of a broken state, which shows, or of too little memory.
            time = torch.from_numpy(self._states[:, -1, 0])
            stopped = time < (self._states.shape[1] - 0.5) * self._models[0].opt.timestep
            reason[stopped & (reason < 0)] = INVALID_REASONS.index(InvalidReason.MEMORY_OVERFLOW)
        return reason

    def update_contacts(self, contacts: Contacts, state: State | None = None) -> None:
        """Write peak net forces as one contact per touching pair, for Isaac Lab's contact sensors.

        Normals follow the net force and contact points are left alone: neither means anything here.
        """
        if self._sensed.shape[1] == 0:
            contacts.rigid_contact_count.zero_()
            return
        peak = _largest_substep(self._sensor_forces())
        world, sensor = np.nonzero((peak != 0.0).any(axis=2))
        count = min(len(world), contacts.rigid_contact_max)
        world, sensor = world[:count], sensor[:count]
        force = peak[world, sensor]
        shapes = self._sensor_shapes()[world, sensor]
        contacts.rigid_contact_count.numpy()[0] = count
        contacts.rigid_contact_shape0.numpy()[:count] = shapes[:, 0]
        contacts.rigid_contact_shape1.numpy()[:count] = shapes[:, 1]
        spatial = contacts.force.numpy()
        spatial[:count, :3] = force
        spatial[:count, 3:] = 0.0
        contacts.rigid_contact_normal.numpy()[:count] = -force / np.linalg.norm(force, axis=1, keepdims=True)

    def _sensor_shapes(self) -> np.ndarray:
        """(num_envs, sensors, 2) a Newton shape of either side of each sensor."""

        def geom_of(name: str) -> int:
            body = mujoco.mj_name2id(self.mj_model, mujoco.mjtObj.mjOBJ_BODY, name)
            if body < 0:
                return self.mj_model.geom(name).id
            return int(self.mj_model.body_geomadr[body])

        geoms = np.array([[geom_of(on), geom_of(by)] for on, by in self.contact_layout.forces.pairs])
        return self.mjc_geom_to_newton_shape.numpy()[:, geoms]


def _largest_substep(forces: np.ndarray) -> np.ndarray:
    """(envs, substeps, pairs, 3) -> (envs, pairs, 3): the substep with the largest magnitude."""
    best = np.einsum("espc,espc->esp", forces, forces).argmax(axis=1)
    return np.take_along_axis(forces, best[:, None, :, None], axis=1)[:, 0]
