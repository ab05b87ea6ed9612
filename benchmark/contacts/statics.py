"""What an arm can press with: the largest force at the fingertips that its joints bear in static equilibrium.

A force ``f`` of the hand on what it touches takes the joint torques ``tau = J^T f``.  The arm's weight is compensated
apart from the drives, so all of a joint's limit is there for pressing.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


def at_point(jacobian: np.ndarray, offset_m: np.ndarray) -> np.ndarray:
    """The geometric Jacobian (6, joints) of a point that is ``offset_m`` (3,), world axes, off that of ``jacobian``."""
    moved = np.array(jacobian, dtype=float)
    moved[:3] += np.cross(moved[3:].T, offset_m).T
    return moved


def pressable_n(jacobian: np.ndarray, limits_nm: np.ndarray) -> float:
    """The largest vertical force without a side force: ``min_i limit_i / |J_zi|``, N."""
    arms_m = np.abs(jacobian[2])
    return float(np.min(np.divide(limits_nm, arms_m, out=np.full_like(arms_m, np.inf), where=arms_m > 0)))


def pressable_with_friction_n(jacobian: np.ndarray, limits_nm: np.ndarray, friction: float) -> float:
    """The largest vertical force with a side force of at most ``friction`` times it along any two axes' sum, N.

    The linear programme ``max f_z`` subject to ``|J^T f| <= limits`` and ``|f_x| + |f_y| <= friction f_z``, which lies
    inside the friction cone.
    """
    torques = jacobian[:3].T
    cone = [[sx, sy, -friction] for sx in (1.0, -1.0) for sy in (1.0, -1.0)]
    result = linprog(
        c=[0.0, 0.0, -1.0],
        A_ub=np.vstack([torques, -torques, cone]),
        b_ub=np.concatenate([limits_nm, limits_nm, np.zeros(4)]),
        bounds=[(None, None), (None, None), (0.0, None)],
    )
    return float("inf") if result.status == 3 else float(-result.fun)


def torques_of(jacobian: np.ndarray, force_n: np.ndarray) -> np.ndarray:
    """The joint torques (joints,) that a force (3,) of the hand at the Jacobian's point takes, ``J^T f``, N m."""
    return jacobian[:3].T @ force_n
