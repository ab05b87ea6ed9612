"""What vision networks share: heat maps that find object and goal, an embedding, and a head that reads it.

A network says where in its heat map, by how much off, and how high the object is; the calibrated camera makes a place
of that.  How a picture becomes heat and embedding is each network's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from flow_rag_vla.agents.policy.features import POSITION_SCALE_M, WORKSPACE_CENTRE_M
from flow_rag_vla.agents.vision.networks.image_encoder import pictures
from flow_rag_vla.agents.vision.networks.projection import Projection
from flow_rag_vla.agents.vision.networks.proprioception import CLOSED, NUM_PROPRIOCEPTION, proprioception
from flow_rag_vla.agents.vision.networks.sighting import NUM_OUTPUTS, Sighting, sighting

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

OBJECT, GOAL = 0, 1
"""Heat maps."""


@dataclass(frozen=True)
class Look:
    """What a network makes of a batch of pictures."""

    embedding: torch.Tensor
    """(n, embedding_dim)."""
    heat: torch.Tensor
    """(n, 2, h, w) logits of where the middle of the object and the goal are seen."""
    centre: torch.Tensor
    """(n, 2) where the head says how far off the object is: picture coordinates."""
    felt: torch.Tensor
    """(n, NUM_PROPRIOCEPTION) as it was given."""


class VisionNetwork(nn.Module, ABC):
    """A ``VisionEncoder`` with weights to train: picture and proprioception to a ``Look``, and that to a sighting."""

    def _join(self, features: int, embedding_dim: int) -> None:
        """Make the layers behind ``features`` numbers of a network's own; to be called once, when those layers exist.

        (Not part of ``__init__``: first weights are drawn in the order in which layers are made.)
        """
        self._embedding_dim = embedding_dim
        self.embed = nn.Sequential(nn.Linear(features, embedding_dim), nn.LayerNorm(embedding_dim))
        # What the arm feels goes to the head once more, by itself and where the gripper is closed: the height of what
        # is held is the hand's.
        self.head = nn.Sequential(
            nn.Linear(embedding_dim + 2 * NUM_PROPRIOCEPTION + 2, 256), nn.ReLU(), nn.Linear(256, NUM_OUTPUTS)
        )
        self.projection = Projection()

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return self._embedding_dim

    @property
    @abstractmethod
    def reach(self) -> tuple[float, float]:
        """How far, in picture coordinates along x and y, the object is off ``Look.centre`` if the head says 1."""

    @abstractmethod
    def forward(self, image: torch.Tensor, felt: torch.Tensor) -> Look:
        """Look at ``image`` (n, 3, height, width), -0.5 to 0.5, with ``felt`` (n, NUM_PROPRIOCEPTION)."""

    def look_in_training(
        self, image: torch.Tensor, felt: torch.Tensor, seen_at: torch.Tensor, rng: torch.Generator
    ) -> Look:
        """``forward`` where it is known that the object is ``seen_at`` (n, 2); by default that is not made use of."""
        return self(image, felt)

    def require_size(self, rgb: torch.Tensor) -> None:
        """Nothing, if pictures (n, height, width, 3) are of a size to look at; else raises ``ValueError``."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What the header of a checkpoint says of the network: its kind, its sizes, what it is built on; JSON-able."""

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Weights that training changes: what a checkpoint holds."""
        return self.state_dict()

    def outputs(self, look: Look) -> torch.Tensor:
        """(n, NUM_OUTPUTS) as in ``sighting.HEADS``.

        The head says by how much of the network's reach the object is off ``look.centre``, and how high it is; the
        calibrated camera makes a place of that.
        """
        closed = look.felt[:, CLOSED : CLOSED + 1]
        joined = [functional.relu(look.embedding), look.felt, closed * look.felt, look.centre]
        raw = self.head(torch.cat(joined, dim=1))
        height_m = WORKSPACE_CENTRE_M[2] + POSITION_SCALE_M * raw[:, 2]
        object_b = self.projection.at_height(look.centre + raw.new_tensor(self.reach) * raw[:, :2], height_m)
        goal_b = self.projection.at_height(expected_place(look.heat[:, GOAL]), torch.zeros_like(height_m))
        centre = raw.new_tensor(WORKSPACE_CENTRE_M)
        goal_xy = (goal_b - centre)[:, :2] / POSITION_SCALE_M + 0.1 * raw[:, -4:-2]
        return torch.cat([(object_b - centre) / POSITION_SCALE_M, raw[:, 3:-4], goal_xy, raw[:, -2:]], dim=1)

    @torch.no_grad()
    def encode(self, observation: Observation) -> torch.Tensor:
        """State embeddings (num_envs, embedding_dim); raises ``ValueError`` without fitting pictures."""
        return self(self._image(observation), proprioception(observation)).embedding

    @torch.no_grad()
    def look(self, observation: Observation, batch: int = 128) -> tuple[Sighting, torch.Tensor]:
        """What the pictures show, and the state embeddings (num_envs, embedding_dim) that say it.

        Args:
            observation: With pictures; of the rest only proprioception is read.
            batch: Pictures at a time, which bounds the memory.

        Raises:
            ValueError: no pictures, or of another size.
        """
        image, felt = self._image(observation), proprioception(observation)
        looks = [self(i, f) for i, f in zip(image.split(batch), felt.split(batch), strict=True)]
        outputs = torch.cat([self.outputs(look) for look in looks])
        return sighting(outputs), torch.cat([look.embedding for look in looks])

    @property
    def late(self) -> None:
        """None: every result is of the observation it was asked for."""

    def take_ages(self) -> None:
        """Nothing: every result is of the observation it was asked for."""

    def reset(self) -> None:
        """Nothing to forget."""

    def _image(self, observation: Observation) -> torch.Tensor:
        rgb = pictures(observation)
        self.require_size(rgb)
        return normalised(rgb)


def cell_centres(count: int, like: torch.Tensor) -> torch.Tensor:
    """Picture coordinates (count,) of the middles of as many cells side by side."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) * 2.0 / count - 1.0


def expected_place(heat: torch.Tensor) -> torch.Tensor:
    """Mean picture coordinates (n, 2) of ``heat`` (n, h, w) as logits (spatial softmax, Finn et al. 2016)."""
    h, w = heat.shape[1:]
    share = torch.softmax(heat.flatten(1), dim=1).unflatten(1, (h, w))
    x = (share.sum(dim=1) * cell_centres(w, heat)).sum(dim=1)
    y = (share.sum(dim=2) * cell_centres(h, heat)).sum(dim=1)
    return torch.stack([x, y], dim=1)


def normalised(rgb: torch.Tensor) -> torch.Tensor:
    """Network input (n, 3, height, width), -0.5 to 0.5, of pictures (n, height, width, 3), uint8."""
    return rgb.permute(0, 3, 1, 2).float() / 255.0 - 0.5
