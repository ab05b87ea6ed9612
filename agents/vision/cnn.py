"""A small convolutional network: picture and proprioception to a state embedding, and from it to a sighting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from flow_rag_vla.agents.encoders import EMBEDDING_DIM
from flow_rag_vla.agents.vision.image_encoder import pictures
from flow_rag_vla.agents.vision.proprioception import NUM_PROPRIOCEPTION, proprioception
from flow_rag_vla.agents.vision.sighting import NUM_OUTPUTS, Sighting, sighting

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation


@dataclass
class CnnEncoderCfg:
    """Sizes of ``CnnEncoder``."""

    height: int = 80
    width: int = 128
    channels: int = 48
    """At a quarter of the picture's resolution; twice as many at an eighth."""
    keypoints: int = 32
    map_channels: int = 8
    embedding_dim: int = EMBEDDING_DIM


class SpatialSoftmax(nn.Module):
    """Expected coordinates of each channel's activation (Finn et al. 2016, deep spatial autoencoders)."""

    def __init__(self) -> None:
        """A learned temperature."""
        super().__init__()
        self.log_sharpness = nn.Parameter(torch.zeros(()))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Coordinates (n, 2 * channels) from -1 to 1 of ``maps`` (n, channels, h, w)."""
        h, w = maps.shape[2:]
        weights = torch.softmax(maps.flatten(2) * self.log_sharpness.exp(), dim=2).unflatten(2, (h, w))
        x = (weights.sum(dim=2) * torch.linspace(-1.0, 1.0, w, device=maps.device)).sum(dim=2)
        y = (weights.sum(dim=3) * torch.linspace(-1.0, 1.0, h, device=maps.device)).sum(dim=2)
        return torch.cat([x, y], dim=1)


def _block(n_in: int, n_out: int, size: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, size, stride, padding=(size - stride + 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU())


class CnnEncoder(nn.Module):
    """Convolutions whose features are read as keypoints and as a coarse map, then a layer of ``embedding_dim``."""

    def __init__(self, cfg: CnnEncoderCfg | None = None) -> None:
        """About 1.3 million parameters by default."""
        super().__init__()
        self.cfg = cfg if cfg is not None else CnnEncoderCfg()
        c = self.cfg.channels
        # One step down to a quarter: layers at higher resolution would take most of the time.
        self.fine = nn.Sequential(_block(3, c, 8, 4), _block(c, c, 3, 1), _block(c, c, 3, 1))
        self.to_keypoints = nn.Conv2d(c, self.cfg.keypoints, 1)
        self.spatial_softmax = SpatialSoftmax()
        self.coarse = nn.Sequential(
            _block(c, 2 * c, 3, 2), _block(2 * c, 2 * c, 3, 1), _block(2 * c, self.cfg.map_channels, 1, 1)
        )
        cells = -(-self.cfg.height // 8) * -(-self.cfg.width // 8)
        features = 2 * self.cfg.keypoints + cells * self.cfg.map_channels + NUM_PROPRIOCEPTION
        self.embed = nn.Sequential(nn.Linear(features, self.cfg.embedding_dim), nn.LayerNorm(self.cfg.embedding_dim))
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(self.cfg.embedding_dim, 256), nn.ReLU(), nn.Linear(256, NUM_OUTPUTS)
        )

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return self.cfg.embedding_dim

    def forward(self, image: torch.Tensor, felt: torch.Tensor) -> torch.Tensor:
        """State embeddings (n, embedding_dim).

        Args:
            image: (n, 3, height, width), -0.5 to 0.5.
            felt: (n, NUM_PROPRIOCEPTION).
        """
        fine = self.fine(image)
        keypoints = self.spatial_softmax(self.to_keypoints(fine))
        return self.embed(torch.cat([keypoints, self.coarse(fine).flatten(1), felt], dim=1))

    @torch.no_grad()
    def encode(self, observation: Observation) -> torch.Tensor:
        """State embeddings (num_envs, embedding_dim); raises ``ValueError`` without fitting pictures."""
        return self(self._image(observation), proprioception(observation))

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
        parts = [self(i, f) for i, f in zip(image.split(batch), felt.split(batch), strict=True)]
        embedding = torch.cat(parts)
        return sighting(self.head(embedding)), embedding

    def _image(self, observation: Observation) -> torch.Tensor:
        rgb = pictures(observation)
        expected = (self.cfg.height, self.cfg.width, 3)
        if tuple(rgb.shape[1:]) != expected:
            raise ValueError(f"pictures are {tuple(rgb.shape[1:])}, expected {expected}")
        return normalised(rgb)


def normalised(rgb: torch.Tensor) -> torch.Tensor:
    """Network input (n, 3, height, width), -0.5 to 0.5, of pictures (n, height, width, 3), uint8."""
    return rgb.permute(0, 3, 1, 2).float() / 255.0 - 0.5
