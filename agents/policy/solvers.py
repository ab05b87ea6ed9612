"""Solvers of ``dx/dt = v(t, x)`` from ``t0`` to 1, with its own ``t0`` for every row.

Euler, midpoint and Heun are written here; ``rk4`` and ``dopri5`` are torchdiffeq's (Chen 2018).  ``dopri5`` adapts: it
goes each of the equal steps in as many smaller ones as its tolerance asks for, the same for all rows, so that a row's
last bits depend on its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

VelocityField = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""``v(t, x)``: time (batch, 1) and state (batch, ...) to a velocity of the state's shape."""

Step = Callable[[VelocityField, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _like(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``t`` (batch, 1) with as many dimensions as ``x``."""
    return t.reshape(-1, *(1,) * (x.ndim - 1))


def euler_step(v: VelocityField, t: torch.Tensor, dt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """First order, one evaluation."""
    return x + _like(dt, x) * v(t, x)


def midpoint_step(v: VelocityField, t: torch.Tensor, dt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Second order, two evaluations."""
    x_mid = x + _like(0.5 * dt, x) * v(t, x)
    return x + _like(dt, x) * v(t + 0.5 * dt, x_mid)


def heun_step(v: VelocityField, t: torch.Tensor, dt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Second order, two evaluations."""
    v_start = v(t, x)
    v_end = v(t + dt, x + _like(dt, x) * v_start)
    return x + _like(0.5 * dt, x) * (v_start + v_end)


RTOL, ATOL = 1.0e-4, 1.0e-5
"""Tolerances of the adaptive solver, in the network's units: standard deviations of an action entry."""


def rk4_step(v: VelocityField, t: torch.Tensor, dt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Fourth order (the 3/8 rule), four evaluations."""
    from torchdiffeq import odeint  # late: it brings scipy's integrators, which the other solvers need not wait for

    return torch.as_tensor(odeint(_over_unit_time(v, t, dt), x, x.new_tensor([0.0, 1.0]), method="rk4")[-1])


def dopri5_step(v: VelocityField, t: torch.Tensor, dt: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Fifth order, as many evaluations as the tolerances ask for (Dormand and Prince 1980)."""
    from torchdiffeq import odeint  # late, as above

    field = FiniteRows(_over_unit_time(v, t, dt), x)
    ends = x.new_tensor([0.0, 1.0])
    # It would otherwise step past the end, where the field is not defined, and interpolate back.
    last = {"step_t": ends[1:]}
    path = odeint(field, field.start, ends, method="dopri5", rtol=RTOL, atol=ATOL, options=last)
    return field.marked(torch.as_tensor(path[-1]))


class FiniteRows:
    """A field that stands still in rows that are no numbers, whose error would else end the integration of all."""

    def __init__(self, v: VelocityField, x: torch.Tensor) -> None:
        """Start from ``x`` (batch, ...); rows of it that are not finite start, and stay, at 0."""
        self._v, self._finite = v, self._of(x)
        self.start = self._kept(x, 0.0)

    def __call__(self, s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The velocity (batch, ...) at ``y`` (batch, ...)."""
        velocity = self._v(s, y)
        self._finite = self._finite & self._of(velocity)
        return self._kept(velocity, 0.0)

    def marked(self, y: torch.Tensor) -> torch.Tensor:
        """``y`` (batch, ...), NaN in the rows that were once not finite."""
        return self._kept(y, torch.nan)

    def _kept(self, x: torch.Tensor, otherwise: float) -> torch.Tensor:
        return torch.where(_like(self._finite, x), x, otherwise)

    @staticmethod
    def _of(x: torch.Tensor) -> torch.Tensor:
        return torch.isfinite(x).flatten(1).all(dim=1)


def _over_unit_time(v: VelocityField, t: torch.Tensor, dt: torch.Tensor) -> VelocityField:
    """The field from ``t`` to ``t + dt``, each row's own, over a time ``s`` from 0 to 1 that all rows share."""

    def field(s: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return _like(dt, y) * v(t + s.to(t) * dt, y)

    return field


SOLVERS: dict[str, Step] = {
    "euler": euler_step,
    "midpoint": midpoint_step,
    "heun": heun_step,
    "rk4": rk4_step,
    "dopri5": dopri5_step,
}

EVALUATIONS: dict[str, int] = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
"""Network evaluations of one step; solvers that are not here decide for themselves."""


def integrate(
    velocity: VelocityField,
    x: torch.Tensor,
    steps: int,
    method: str = "euler",
    t0: torch.Tensor | None = None,
) -> torch.Tensor:
    """The state (batch, ...) at ``t = 1``.

    Args:
        velocity: The field.
        x: (batch, ...) the state at ``t0``.
        steps: Equal steps for every row, however late it starts: a late row has shorter ones.
        method: One of ``SOLVERS``.
        t0: (batch,) start times in [0, 1], or (1,) for one that all rows share; 0 by default.

    Raises:
        ValueError: an unknown method or fewer than one step.
    """
    if method not in SOLVERS:
        raise ValueError(f"unknown solver {method!r}; available: {', '.join(SOLVERS)}")
    if steps < 1:
        raise ValueError(f"a solver needs at least 1 step, got {steps}")
    start = (x.new_zeros(x.shape[0]) if t0 is None else t0.to(x)).unsqueeze(1)
    dt = (1.0 - start) / steps
    for i in range(steps):
        x = SOLVERS[method](velocity, start + i * dt, dt, x)
    return x
