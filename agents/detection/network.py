"""The implementation guide's failure detector, learned: probability and type from the state before and after."""

from __future__ import annotations

import torch
from torch import nn

from flow_rag_vla.tasks.contract import ACTION_DIM, FAILURE_TYPES

MIN_STD = 1.0e-2
"""Inputs are never divided by less: what hardly varied in training must not blow up."""

BOTTLENECK = 64


class FailureDetector(nn.Module):
    """A perceptron over ``[before, after, action]`` with two outputs: a failure's logit, and the logits of its type.

    The guide's network (two hidden layers, a bottleneck of 64, dropout 0.1), a second head for the types beside it.
    """

    input_mean: torch.Tensor
    input_std: torch.Tensor

    def __init__(self, state_dim: int = 512, hidden_dim: int = 256) -> None:
        """Untrained; inputs are not normalised until ``set_input_statistics``.

        Raises:
            ValueError: a size that is not positive.
        """
        super().__init__()
        if state_dim < 1 or hidden_dim < 1:
            raise ValueError(f"state_dim and hidden_dim must be at least 1, got {state_dim} and {hidden_dim}")
        self.state_dim, self.hidden_dim = state_dim, hidden_dim
        self.failure_types = list(FAILURE_TYPES)
        num_inputs = 2 * state_dim + ACTION_DIM
        self.trunk = nn.Sequential(
            nn.Linear(num_inputs, hidden_dim),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(hidden_dim, hidden_dim),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(hidden_dim, BOTTLENECK),
            nn.ReLU(),
        )
        self.failure_head = nn.Linear(BOTTLENECK, 1)
        self.type_head = nn.Linear(BOTTLENECK, len(FAILURE_TYPES))
        self.register_buffer("input_mean", torch.zeros(num_inputs))
        self.register_buffer("input_std", torch.ones(num_inputs))

    def set_input_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Normalise by ``mean`` and ``std`` (2 state_dim + 7,) of the training inputs."""
        self.input_mean.copy_(mean)
        self.input_std.copy_(std.clamp(min=MIN_STD))

    def logits(
        self, state_before: torch.Tensor, state_after: torch.Tensor, action: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logit of a failure (batch,) and of each type (batch, 5).

        Args:
            state_before: (batch, state_dim).
            state_after: (batch, state_dim).
            action: (batch, 7) what was done in between; the mean of the training data stands for None.
        """
        if action is None:
            action = self.input_mean[-ACTION_DIM:].expand(len(state_after), -1)
        inputs = torch.cat([state_before, state_after, action], dim=-1)
        hidden = self.trunk((inputs - self.input_mean) / self.input_std)
        return self.failure_head(hidden).squeeze(-1), self.type_head(hidden)

    def forward(
        self, state_before: torch.Tensor, state_after: torch.Tensor, action: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Probability (batch, 1) that a failure has happened; arguments as in ``logits``."""
        return torch.sigmoid(self.logits(state_before, state_after, action)[0]).unsqueeze(-1)

    @torch.no_grad()
    def classify_failure(
        self, state_before: torch.Tensor, state_after: torch.Tensor, action: torch.Tensor
    ) -> list[str]:
        """The likeliest failure type of each row, given that it failed; arguments as in ``logits``."""
        _, kinds = self.logits(state_before, state_after, action)
        return [self.failure_types[i] for i in kinds.argmax(dim=-1).tolist()]
