"""Isaac Lab physics managers of the two MuJoCo solvers, and the solver configurations that select them.

Isaac Lab recognises Newton backends by a manager name that starts with ``Newton``.
"""

# Isaac Lab's managers keep their state in class variables that start as None.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportArgumentType=false, reportIncompatibleMethodOverride=false, reportIncompatibleVariableOverride=false

from __future__ import annotations

from dataclasses import field

from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg
from isaaclab_newton.physics.mjwarp_manager import NewtonMJWarpManager
from newton import Contacts, Model
from newton.solvers import SolverMuJoCo

from flow_rag_vla.tasks.physics.native_solver import NativeSolver
from flow_rag_vla.tasks.physics.sensing_solver import SensingSolver


class NewtonSensingManager(NewtonMJWarpManager):
    """MuJoCo Warp with contact groups."""

    @classmethod
    def _solver_type(cls) -> type[SensingSolver]:
        # A method: Isaac Lab's validation of settings walks through the attributes of this class, for ever if it could.
        return SensingSolver

    @classmethod
    def _create_solver(cls, model: Model, solver_cfg: SensingSolverCfg) -> SensingSolver:
        kwargs = cls._filter_solver_kwargs(SolverMuJoCo, solver_cfg)
        # Deprecated; forwarding it, even as False, warns.
        kwargs.pop("ls_parallel", None)
        return cls._solver_type()(
            model,
            contact_groups=solver_cfg.contact_groups,
            depth_groups=solver_cfg.depth_groups,
            memory_bytes=solver_cfg.memory_bytes,
            **kwargs,
        )

    @classmethod
    def _run_solver_substeps(cls, contacts: Contacts | None) -> None:
        cls._solver.begin_control_step()
        super()._run_solver_substeps(contacts)


class NewtonNativeManager(NewtonSensingManager):
    """Native MuJoCo, on the CPU alone."""

    @classmethod
    def _solver_type(cls) -> type[SensingSolver]:
        return NativeSolver

    @classmethod
    def _run_solver_substeps(cls, contacts: Contacts | None) -> None:
        state = cls.backend.state_0
        cls._apply_staged_body_forces(state)
        for callback in cls._state_force_callbacks:
            callback(state)
        cls._solver.run(state, cls.backend.control, cls._solver_dt, cls._num_substeps)
        state.clear_forces()


@configclass
class SensingSolverCfg(MJWarpSolverCfg):
    """MuJoCo Warp with contact groups."""

    class_type: type | str = NewtonSensingManager

    contact_groups: dict = field(default_factory=dict)
    """Name to pairs of regular expressions, see ``contact_layout.ContactGroups``."""

    depth_groups: dict = field(default_factory=dict)
    """The same for depths of penetration."""

    memory_bytes: int | None = None
    """What native MuJoCo may use for contacts and constraints of a world; it decides if None."""


@configclass
class NativeSolverCfg(SensingSolverCfg):
    """Native MuJoCo on the CPU with contact groups."""

    class_type: type | str = NewtonNativeManager
