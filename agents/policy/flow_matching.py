"""Conditional flow matching of action chunks on the linear path (Lipman et al. 2023, Liu et al. 2023).

``x_t = (1 - t) x_0 + t x_1`` with noise ``x_0`` and chunk ``x_1``; the network regresses the velocity ``x_1 - x_0``.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import nn

from flow_rag_vla.agents.policy.solvers import EVALUATIONS, SOLVERS, VelocityField, integrate
from flow_rag_vla.agents.policy.velocity_network import VelocityNetwork, VelocityNetworkCfg
from flow_rag_vla.tasks.contract import MAX_DELTA_POS_M, MAX_DELTA_ROT_RAD

MIN_ACTION_STD = (1.0e-3, 1.0e-3, 1.0e-3, 5.0e-3, 5.0e-3, 5.0e-3, 0.05)
"""Normalisation never divides by less (m, rad, grip): a constant entry must not blow up."""


PREDICTIONS: tuple[str, ...] = ("velocity", "chunk")

MIN_TIME_LEFT = 1.0e-2
"""``1 - t`` is never taken smaller than this where it divides."""


@dataclass
class FlowMatchingCfg:
    """Network and solver of the flow policy."""

    velocity: VelocityNetworkCfg = field(default_factory=VelocityNetworkCfg)
    solver: str = "euler"
    """One of ``solvers.SOLVERS``."""
    ode_steps: int = 5
    """Solver steps of one generation; the implementation guide's number."""
    prediction: str = "chunk"
    """What the network puts out: the ``velocity``, or the ``chunk`` that the velocity points to."""


def _require_steps(ode_steps: int) -> None:
    if ode_steps < 1:
        raise ValueError(f"ode_steps is {ode_steps}, expected at least 1")


class FlowMatching(nn.Module):
    """A generator of action chunks; noise is standard normal, chunks are in units of the action.

    Inside, chunks are normalised by the mean and standard deviation of each action entry.
    """

    action_mean: torch.Tensor
    action_std: torch.Tensor

    def __init__(self, cfg: FlowMatchingCfg | None = None) -> None:
        """Build from ``cfg``; actions are not normalised until ``set_action_statistics``.

        Raises:
            ValueError: an unknown network or solver, or a size that is not positive.
        """
        super().__init__()
        self.cfg = cfg if cfg is not None else FlowMatchingCfg()
        if self.cfg.solver not in SOLVERS:
            raise ValueError(f"unknown solver {self.cfg.solver!r}; available: {', '.join(SOLVERS)}")
        if self.cfg.prediction not in PREDICTIONS:
            raise ValueError(f"unknown prediction {self.cfg.prediction!r}; available: {', '.join(PREDICTIONS)}")
        _require_steps(self.cfg.ode_steps)
        self.velocity_net = VelocityNetwork(self.cfg.velocity)
        self.register_buffer("action_mean", torch.zeros(self.cfg.velocity.action_dim))
        self.register_buffer("action_std", torch.ones(self.cfg.velocity.action_dim))

    @property
    def horizon(self) -> int:
        """Actions in a chunk."""
        return self.cfg.velocity.horizon

    @property
    def action_dim(self) -> int:
        """Entries of an action."""
        return self.cfg.velocity.action_dim

    @property
    def evaluations(self) -> int | None:
        """Network evaluations of one generation; None where the solver adapts."""
        each = EVALUATIONS.get(self.cfg.solver)
        return None if each is None else self.cfg.ode_steps * each

    def with_steps(self, ode_steps: int) -> Self:
        """The same weights with another number of solver steps; the generator itself stays as it is.

        Raises:
            ValueError: fewer than one step.
        """
        _require_steps(ode_steps)
        other = copy.copy(self)  # shares every tensor
        other.cfg = dataclasses.replace(self.cfg, ode_steps=ode_steps)
        return other

    def set_action_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Normalise by ``mean`` and ``std`` (action_dim,) of the demonstrated actions.

        Raises:
            ValueError: a wrong shape, or a value that is not finite.
        """
        for name, value in (("mean", mean), ("std", std)):
            if value.shape != (self.action_dim,) or not bool(torch.isfinite(value).all()):
                raise ValueError(f"action {name}: expected {self.action_dim} finite numbers, got {value.tolist()}")
        self.action_mean.copy_(mean)
        self.action_std.copy_(std)
        if self.action_dim == len(MIN_ACTION_STD):
            self.action_std.clamp_(min=self.action_std.new_tensor(MIN_ACTION_STD))

    def normalise(self, chunk: torch.Tensor) -> torch.Tensor:
        """Chunk (..., action_dim) in the network's units."""
        return (chunk - self.action_mean) / self.action_std

    def denormalise(self, x: torch.Tensor) -> torch.Tensor:
        """Chunk (..., action_dim) in units of the action."""
        return x * self.action_std + self.action_mean

    def compute_loss(
        self,
        state: torch.Tensor,
        action_0: torch.Tensor,
        action_1: torch.Tensor,
        generator: torch.Generator | None = None,
        weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean squared velocity error (scalar), averaged over batch and chunk.

        With ``prediction == "chunk"`` the error is that of the predicted chunk: the velocity's, weighted by
        ``(1 - t)^2``.  Where demonstrations agree, such a network need not pass the noise through to cancel it.

        Args:
            state: (batch, state_dim) state embeddings.
            action_0: (batch, horizon, action_dim) standard normal noise.
            action_1: (batch, horizon, action_dim) demonstrated chunks, units of the action.
            generator: Draws the times ``t``.
            weight: Broadcastable to the chunks: weights of the squared errors (0 on padded steps); all 1 by default.
        """
        x_0, x_1 = action_0, self.normalise(action_1)
        t = torch.rand(len(x_1), 1, generator=generator, device=generator.device if generator else x_1.device)
        t = t.to(x_1)
        t_chunk = t.unsqueeze(2)
        x_t = (1.0 - t_chunk) * x_0 + t_chunk * x_1
        target = x_1 - x_0 if self.cfg.prediction == "velocity" else x_1
        error = (self.velocity_net(state, x_t, t) - target) ** 2
        if weight is None:
            return error.mean()
        weight = weight.expand_as(error)
        return (weight * error).sum() / weight.sum().clamp(min=1.0)

    def velocity_field(self, state: torch.Tensor) -> VelocityField:
        """``v(t, x)`` given ``state`` (batch, state_dim), in the network's units."""

        def v(t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            out = self.velocity_net(state, x, t)
            if self.cfg.prediction == "velocity":
                return out
            return (out - x) / (1.0 - t).clamp(min=MIN_TIME_LEFT).unsqueeze(2)

        return v

    def noise(self, batch: int, generator: torch.Generator) -> torch.Tensor:
        """Standard normal noise (batch, horizon, action_dim)."""
        shape = (batch, self.horizon, self.action_dim)
        return torch.randn(shape, generator=generator, device=generator.device).to(self.action_mean)

    @torch.no_grad()
    def generate(
        self,
        state: torch.Tensor,
        action_init: torch.Tensor | None = None,
        steps: int | None = None,
        t0: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        field: VelocityField | None = None,
    ) -> torch.Tensor:
        """Action chunks (batch, horizon, action_dim) within the action limits.

        Args:
            state: (batch, state_dim) state embeddings.
            action_init: (batch, horizon, action_dim) the point, in the network's units, from which the ODE starts:
                standard normal noise, or the partly noised chunk that belongs to ``t0``.
            steps: Solver steps; ``cfg.ode_steps`` by default.
            t0: (batch,) start times; 0 by default.
            generator: Draws the noise where ``action_init`` is None.
            field: Integrated instead of the network's own velocity field.

        Raises:
            ValueError: neither ``action_init`` nor ``generator`` is given, or a shape is wrong.
        """
        if action_init is None:
            if generator is None:
                raise ValueError("generate starts from noise: pass action_init or a generator to draw it")
            action_init = self.noise(len(state), generator)
        # shape[0], not len(): exporters would take the number of rows for a constant.
        if action_init.shape != (state.shape[0], self.horizon, self.action_dim):
            raise ValueError(
                f"action_init has shape {tuple(action_init.shape)}; "
                f"expected {(len(state), self.horizon, self.action_dim)}"
            )
        x_1 = integrate(
            self.velocity_field(state) if field is None else field,
            action_init,
            self.cfg.ode_steps if steps is None else steps,
            self.cfg.solver,
            t0,
        )
        return limit_actions(self.denormalise(x_1))


def limit_actions(chunk: torch.Tensor) -> torch.Tensor:
    """``chunk`` (..., 7) with too long displacements and turns shortened, and grip within [-1, 1]."""

    def shortened(vector: torch.Tensor, limit: float) -> torch.Tensor:
        length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
        return vector * (limit / length.clamp(min=1e-9)).clamp(max=1.0)

    return torch.cat(
        [
            shortened(chunk[..., :3], MAX_DELTA_POS_M),
            shortened(chunk[..., 3:6], MAX_DELTA_ROT_RAD),
            chunk[..., 6:].clamp(-1.0, 1.0),
        ],
        dim=-1,
    )
