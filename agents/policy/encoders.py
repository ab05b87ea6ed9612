"""State embeddings of 512 numbers: one learned with the flow, one fixed and used as memory key."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from flow_rag_vla.agents.policy.features import (
    NUM_POLICY_FEATURES,
    RETRIEVAL_GROUPS,
    policy_features,
    retrieval_features,
)
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.tasks.contract import Observation

EMBEDDING_DIM = 512


class StateEncoder(Protocol):
    """Turns observations into state embeddings."""

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        ...

    def encode(self, observation: Observation) -> torch.Tensor:
        """State embeddings (num_envs, embedding_dim), float32."""
        ...


@dataclass
class LearnedStateEncoderCfg:
    """Sizes of ``LearnedStateEncoder``."""

    num_features: int = NUM_POLICY_FEATURES
    instruction_dim: int = INSTRUCTION_DIM
    hidden_dim: int = 256
    embedding_dim: int = EMBEDDING_DIM


class LearnedStateEncoder(nn.Module):
    """Policy features and instruction to a state embedding, trained together with the flow that reads it.

    The instruction scales and shifts the hidden features (FiLM, Perez et al. 2018):
    ``silu((1 + scale) * W features + shift)``, scale and shift linear in the instruction's embedding.
    """

    def __init__(self, cfg: LearnedStateEncoderCfg | None = None, instructions: InstructionTable | None = None) -> None:
        """Two linear layers and a layer norm, the first of them modulated; ``instructions`` are the texts it knows."""
        super().__init__()
        self.cfg = cfg if cfg is not None else LearnedStateEncoderCfg()
        self.instructions = instructions if instructions is not None else InstructionTable.empty()
        self.features = nn.Linear(self.cfg.num_features, self.cfg.hidden_dim)
        self.film = nn.Linear(self.cfg.instruction_dim, 2 * self.cfg.hidden_dim)
        self.output = nn.Linear(self.cfg.hidden_dim, self.cfg.embedding_dim)
        self.norm = nn.LayerNorm(self.cfg.embedding_dim)

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return self.cfg.embedding_dim

    def forward(self, features: torch.Tensor, instruction: torch.Tensor) -> torch.Tensor:
        """State embeddings (batch, embedding_dim).

        Args:
            features: (batch, num_features) rows of ``policy_features``.
            instruction: (batch, instruction_dim) embeddings of what is to be done.
        """
        return self._modulated(features, self.film(instruction))

    @torch.no_grad()
    def encode(self, observation: Observation) -> torch.Tensor:
        """State embeddings (num_envs, embedding_dim), without gradient; texts are looked up, not encoded again."""
        features = policy_features(observation)
        embeddings, rows = self.instructions.look_up_on(observation.instruction, features.device)
        # A fleet speaks a handful of texts: compute each one's modulation once.
        return self._modulated(features, self.film(embeddings)[rows])

    def _modulated(self, features: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
        scale, shift = modulation.chunk(2, dim=-1)
        hidden = nn.functional.silu((1.0 + scale) * self.features(features) + shift)
        return self.norm(self.output(hidden))


@dataclass
class RetrievalEncoderCfg:
    """Which keys count as alike."""

    embedding_dim: int = EMBEDDING_DIM
    seed: int = 0
    length_scales: dict[str, float] = field(default_factory=lambda: {g.name: g.length_scale for g in RETRIEVAL_GROUPS})
    """Group of ``retrieval_features`` to its length scale, in the group's unit."""


class RetrievalEncoder:
    """Random Fourier features of ``retrieval_features`` (Rahimi and Recht 2007).

    ``phi(x) = sqrt(2/D) [cos(W s(x)), sin(W s(x))]`` with ``W ~ N(0, I)`` and ``s(x)`` the features divided by their
    length scales ``l``, so that every embedding has length one and
    ``phi(x) . phi(y)`` is close to the Gaussian kernel ``exp(-sum_i (x_i - y_i)^2 / (2 l_i^2))``, with a standard
    deviation of at most ``1 / sqrt(D)`` that vanishes as ``x`` approaches ``y``.
    """

    def __init__(self, cfg: RetrievalEncoderCfg | None = None, device: str = "cpu") -> None:
        """Draw the frequencies that ``cfg.seed`` names.

        Raises:
            ValueError: an odd embedding, a missing or unknown group, or a length scale that is not positive.
        """
        self.cfg = cfg if cfg is not None else RetrievalEncoderCfg()
        scales = self.cfg.length_scales
        names = [group.name for group in RETRIEVAL_GROUPS]
        if sorted(scales) != sorted(names):
            raise ValueError(f"length scales for {sorted(scales)}; expected one for each of {sorted(names)}")
        if not all(math.isfinite(s) and s > 0 for s in scales.values()):
            raise ValueError(f"length scales must be positive, got {scales}")
        if self.cfg.embedding_dim < 2 or self.cfg.embedding_dim % 2:
            raise ValueError(f"embedding_dim must be even and at least 2, got {self.cfg.embedding_dim}")
        per_column = np.concatenate([np.full(g.width, scales[g.name]) for g in RETRIEVAL_GROUPS])
        rng = np.random.Generator(np.random.Philox(key=self.cfg.seed))
        frequencies = rng.standard_normal((len(per_column), self.cfg.embedding_dim // 2)) / per_column[:, None]
        self.length_scales = torch.from_numpy(per_column).to(device)
        # Double precision: the rounding of a matrix product depends on the batch size, and a float32 phase of 100
        # turns would pass that on to the key.
        self._frequencies = torch.from_numpy(frequencies).to(device)

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return self.cfg.embedding_dim

    @torch.no_grad()
    def encode(self, observation: Observation) -> torch.Tensor:
        """Memory keys (num_envs, embedding_dim), float32 rows of length one."""
        return self.embed(retrieval_features(observation))

    def embed(self, features: torch.Tensor) -> torch.Tensor:
        """Memory keys (n, embedding_dim) of ``retrieval_features`` rows (n, k)."""
        phase = torch.remainder(features.double() @ self._frequencies, 2.0 * math.pi).float()
        return math.sqrt(2.0 / self.embedding_dim) * torch.cat([torch.cos(phase), torch.sin(phase)], dim=1)

    def kernel(self, features: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """The exact Gaussian kernel (n, m) that inner products of keys approximate."""
        scaled = features.double() / self.length_scales
        return torch.exp(-0.5 * torch.cdist(scaled, others.double() / self.length_scales) ** 2).float()
