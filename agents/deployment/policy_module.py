"""A whole decision of the flow policy as one traceable module: what every exporter and compiler is given."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn

from flow_rag_vla.agents.policy.solvers import EVALUATIONS

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint

INPUTS: tuple[str, ...] = ("features", "instruction", "noise")
"""Names of the inputs in a file, in the order of ``PolicyModule.forward``."""

OUTPUT = "chunk"

type ChunkFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""The signature of ``PolicyModule.forward``, by whatever means."""


class PolicyModule(nn.Module):
    """State encoder, all solver steps and the action limits.

    Features to chunks, not observations to chunks: ``policy_features`` is cheap, and reads named quantities.
    """

    def __init__(self, policy: PolicyCheckpoint, device: str | torch.device = "cpu") -> None:
        """Wrap copies of ``policy``'s networks, in evaluation mode on ``device``.

        Raises:
            ValueError: its solver chooses its steps as it goes, so that there is no fixed graph.
        """
        super().__init__()
        if policy.flow.cfg.solver not in EVALUATIONS:
            raise ValueError(
                f"solver {policy.flow.cfg.solver!r} chooses its steps as it goes and cannot be exported; "
                f"expected one of {', '.join(EVALUATIONS)}"
            )
        self.encoder = copy.deepcopy(policy.encoder).to(device)
        self.flow = copy.deepcopy(policy.flow).to(device)
        self.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.flow.action_mean.device

    def forward(self, features: torch.Tensor, instruction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Action chunks (batch, horizon, 7) within the action limits.

        Args:
            features: (batch, num_features) rows of ``policy_features``.
            instruction: (batch, instruction_dim) embeddings of what is to be done.
            noise: (batch, horizon, 7) standard normal.
        """
        # All rows start at time 0.  Said once, the time embedding does not depend on the batch: a constant.
        start = noise.new_zeros(1)
        return self.flow.generate(self.encoder(features, instruction), noise, t0=start)

    def random_inputs(self, batch: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Standard normal features and noise, and instruction embeddings of length one, for ``batch`` rows."""
        features = torch.randn(batch, self.encoder.cfg.num_features, generator=rng).to(self.device)
        instruction = torch.randn(batch, self.encoder.cfg.instruction_dim, generator=rng).to(self.device)
        return features, nn.functional.normalize(instruction, dim=1), self.flow.noise(batch, rng)
