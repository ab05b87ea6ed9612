"""Velocity networks ``v(x_t, t, state)`` of the flow policy; all share one signature.

``forward(state, action, t)``: state embedding (batch, state_dim), noisy chunk (batch, horizon, action_dim), time
(batch, 1) in [0, 1]; returns a velocity of the chunk's shape.  With ``horizon == 1`` the shapes are those of the
implementation guide, a chunk of one action.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from flow_rag_vla.tasks.contract import ACTION_DIM

KINDS: tuple[str, ...] = ("adaln", "transformer")


@dataclass
class VelocityNetworkCfg:
    """Which velocity network, and how large."""

    kind: str = "adaln"
    """One of ``KINDS``."""
    state_dim: int = 512
    action_dim: int = ACTION_DIM
    horizon: int = 8
    hidden_dim: int = 256
    num_layers: int = 4
    mlp_ratio: int = 4
    """Width of a block's hidden layer, in multiples of ``hidden_dim``: most of the cost."""
    dropout: float = 0.0

    @classmethod
    def guide(cls, horizon: int = 1) -> VelocityNetworkCfg:
        """The implementation guide's network: 77 million parameters."""
        return cls(kind="transformer", horizon=horizon, hidden_dim=1024, num_layers=6, dropout=0.1)


def time_features(t: torch.Tensor, width: int) -> torch.Tensor:
    """Sines and cosines (batch, width) of ``t`` (batch, 1) at geometric frequencies from 1 to 1000 rad."""
    frequencies = torch.exp(torch.linspace(0.0, math.log(1000.0), width // 2, device=t.device))
    angle = t * frequencies
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)


class AdaLNBlock(nn.Module):
    """Residual MLP block whose scale, shift and gate come from the condition (adaLN-zero, Peebles and Xie 2023)."""

    def __init__(self, hidden_dim: int, mlp_ratio: int, dropout: float) -> None:
        """A block that starts as the identity."""
        super().__init__()
        self.norm = nn.LayerNorm(hidden_dim, elementwise_affine=False)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_dim, mlp_ratio * hidden_dim),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout) if dropout > 0.0 else nn.Identity(),
            nn.Linear(mlp_ratio * hidden_dim, hidden_dim),
        )
        self.modulation = nn.Linear(hidden_dim, 3 * hidden_dim)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """``x + gate * MLP(norm(x) * (1 + scale) + shift)``, (batch, hidden_dim)."""
        scale, shift, gate = self.modulation(condition).chunk(3, dim=-1)
        return x + gate * self.mlp(self.norm(x) * (1.0 + scale) + shift)


class AdaLNVelocityNetwork(nn.Module):
    """The default: a residual MLP over the flattened chunk, conditioned on time and state embedding.

    A chunk of a few actions is one short vector; attention over it costs several times as much on a CPU.
    """

    def __init__(self, cfg: VelocityNetworkCfg) -> None:
        """Build from ``cfg``."""
        super().__init__()
        self.cfg = cfg
        size, hidden = cfg.horizon * cfg.action_dim, cfg.hidden_dim
        self.action_encoder = nn.Linear(size, hidden)
        self.state_encoder = nn.Linear(cfg.state_dim, hidden)
        self.time_embed = nn.Sequential(nn.Linear(64, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.blocks = nn.ModuleList(AdaLNBlock(hidden, cfg.mlp_ratio, cfg.dropout) for _ in range(cfg.num_layers))
        self.norm = nn.LayerNorm(hidden)
        self.output = nn.Linear(hidden, size)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, state: torch.Tensor, action: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Velocity (batch, horizon, action_dim)."""
        condition = nn.functional.silu(self.state_encoder(state) + self.time_embed(time_features(t, 64)))
        x = self.action_encoder(action.flatten(1))
        for block in self.blocks:
            x = block(x, condition)
        return self.output(self.norm(x)).view_as(action)


class TransformerVelocityNetwork(nn.Module):
    """The implementation guide's network: one token an action, a sum of state, action and time embeddings.

    At a horizon of one its attention has nothing to attend to.  Longer chunks get a learned position embedding, which
    the guide, knowing no chunks, lacks; one action gets none.
    """

    def __init__(self, cfg: VelocityNetworkCfg) -> None:
        """Build from ``cfg``; ``hidden_dim`` must be a multiple of 8 (heads)."""
        super().__init__()
        self.cfg = cfg
        hidden = cfg.hidden_dim
        self.time_embed = nn.Sequential(nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.state_encoder = nn.Sequential(nn.Linear(cfg.state_dim, hidden), nn.LayerNorm(hidden), nn.SiLU())
        self.action_encoder = nn.Sequential(nn.Linear(cfg.action_dim, hidden), nn.LayerNorm(hidden), nn.SiLU())
        if cfg.horizon > 1:
            self.position = nn.Parameter(0.02 * torch.randn(1, cfg.horizon, hidden))
        # Layers are built one by one: nn.TransformerEncoder copies a single layer, all with the same initial weights.
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                d_model=hidden, nhead=8, dim_feedforward=cfg.mlp_ratio * hidden, dropout=cfg.dropout, batch_first=True
            )
            for _ in range(cfg.num_layers)
        )
        self.output = nn.Sequential(nn.Linear(hidden, hidden // 2), nn.SiLU(), nn.Linear(hidden // 2, cfg.action_dim))

    def forward(self, state: torch.Tensor, action: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Velocity (batch, horizon, action_dim)."""
        x = self.action_encoder(action) + (self.state_encoder(state) + self.time_embed(t)).unsqueeze(1)
        if self.cfg.horizon > 1:
            x = x + self.position
        for layer in self.layers:
            x = layer(x)
        return self.output(x)


class VelocityNetwork(nn.Module):
    """The network that ``cfg.kind`` names, behind the shared signature."""

    def __init__(self, cfg: VelocityNetworkCfg | None = None) -> None:
        """Build from ``cfg``.

        Raises:
            ValueError: an unknown kind or a size that is not positive.
        """
        super().__init__()
        self.cfg = cfg if cfg is not None else VelocityNetworkCfg()
        c = self.cfg
        if min(c.state_dim, c.action_dim, c.horizon, c.hidden_dim, c.num_layers, c.mlp_ratio) < 1:
            raise ValueError(f"velocity network: sizes must be at least 1, got {self.cfg}")
        if self.cfg.kind == "adaln":
            self.net = AdaLNVelocityNetwork(self.cfg)
        elif self.cfg.kind == "transformer":
            self.net = TransformerVelocityNetwork(self.cfg)
        else:
            raise ValueError(f"unknown velocity network {self.cfg.kind!r}; available: {', '.join(KINDS)}")

    def forward(self, state: torch.Tensor, action: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Velocity (batch, horizon, action_dim) at ``action`` (batch, horizon, action_dim) and ``t`` (batch, 1)."""
        return self.net(state, action, t)
