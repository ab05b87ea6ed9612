"""A small convolutional network: picture and proprioception to a state embedding, and from it to a sighting.

It looks twice.  A coarse look at the whole picture finds object and goal as heat maps; a fine look at a window around
the object says what it is and how it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from flow_rag_vla.agents.encoders import EMBEDDING_DIM
from flow_rag_vla.agents.features import POSITION_SCALE_M, WORKSPACE_CENTRE_M
from flow_rag_vla.agents.vision.image_encoder import pictures
from flow_rag_vla.agents.vision.projection import Projection
from flow_rag_vla.agents.vision.proprioception import CLOSED, NUM_PROPRIOCEPTION, proprioception
from flow_rag_vla.agents.vision.sighting import NUM_OUTPUTS, Sighting, sighting

if TYPE_CHECKING:
    from flow_rag_vla.tasks.contract import Observation

STRIDE = 4
"""Pixels of a cell of the heat maps."""

OBJECT, GOAL = 0, 1
"""Heat maps."""


@dataclass
class CnnEncoderCfg:
    """Sizes of ``CnnEncoder``."""

    height: int = 80
    width: int = 128
    channels: int = 24
    """Of the coarse look; the fine look ends with twice as many."""
    window: int = 32
    """Edge of the fine look, pixels."""
    window_channels: int = 24
    embedding_dim: int = EMBEDDING_DIM


@dataclass(frozen=True)
class Look:
    """What the network makes of a batch of pictures."""

    embedding: torch.Tensor
    """(n, embedding_dim)."""
    heat: torch.Tensor
    """(n, 2, h, w) logits of where the middle of the object and the goal are seen."""
    centre: torch.Tensor
    """(n, 2) middle of the window, picture coordinates."""
    felt: torch.Tensor
    """(n, NUM_PROPRIOCEPTION) as it was given."""


def _block(n_in: int, n_out: int, size: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, size, stride, padding=(size - stride + 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU())


class CnnEncoder(nn.Module):
    """Coarse heat maps of the whole picture, a fine look at a window around the object, one layer that joins them."""

    def __init__(self, cfg: CnnEncoderCfg | None = None) -> None:
        """About a million parameters by default."""
        super().__init__()
        self.cfg = cfg if cfg is not None else CnnEncoderCfg()
        c, w = self.cfg.channels, self.cfg.window_channels
        # One step down to a quarter: layers at higher resolution would take most of the time.
        self.coarse = nn.Sequential(
            _block(3, c, 2 * STRIDE, STRIDE), _block(c, c, 3, 1), _block(c, c, 3, 1), nn.Conv2d(c, 2, 1)
        )
        self.fine = nn.Sequential(
            _block(3, w, 3, 1), _block(w, 2 * w, 3, 2), _block(2 * w, 2 * w, 3, 2), _block(2 * w, w, 3, 1)
        )
        cells = (-(-self.cfg.window // 4)) ** 2
        features = w * cells + 4 + NUM_PROPRIOCEPTION
        self.embed = nn.Sequential(nn.Linear(features, self.cfg.embedding_dim), nn.LayerNorm(self.cfg.embedding_dim))
        # What the arm feels goes to the head once more, by itself and where the gripper is closed: the height of what
        # is held is the hand's.
        self.head = nn.Sequential(
            nn.Linear(self.cfg.embedding_dim + 2 * NUM_PROPRIOCEPTION + 2, 256), nn.ReLU(), nn.Linear(256, NUM_OUTPUTS)
        )
        self.projection = Projection()

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return self.cfg.embedding_dim

    def forward(self, image: torch.Tensor, felt: torch.Tensor, centre: torch.Tensor | None = None) -> Look:
        """Look twice.

        Args:
            image: (n, 3, height, width), -0.5 to 0.5.
            felt: (n, NUM_PROPRIOCEPTION).
            centre: (n, 2) where to look closely, picture coordinates; by default where the heat map is hottest.
        """
        heat = self.coarse(image)
        if centre is None:
            centre = _hottest(heat[:, OBJECT])
        window, centre = self._window(image, centre)
        features = self.fine(window).flatten(1)
        joined = torch.cat([features, centre, _expected(heat[:, GOAL]), felt], dim=1)
        return Look(self.embed(joined), heat, centre, felt)

    def outputs(self, look: Look) -> torch.Tensor:
        """(n, NUM_OUTPUTS) as in ``sighting.HEADS``.

        The head says by how much of a window the object is off its middle, and how high it is; the calibrated camera
        makes a place of that.
        """
        closed = look.felt[:, CLOSED : CLOSED + 1]
        joined = [functional.relu(look.embedding), look.felt, closed * look.felt, look.centre]
        raw = self.head(torch.cat(joined, dim=1))
        half = raw.new_tensor([self.cfg.window / self.cfg.width, self.cfg.window / self.cfg.height])
        height_m = WORKSPACE_CENTRE_M[2] + POSITION_SCALE_M * raw[:, 2]
        object_b = self.projection.at_height(look.centre + half * raw[:, :2], height_m)
        goal_b = self.projection.at_height(_expected(look.heat[:, GOAL]), torch.zeros_like(height_m))
        centre = raw.new_tensor(WORKSPACE_CENTRE_M)
        goal_xy = (goal_b - centre)[:, :2] / POSITION_SCALE_M + 0.1 * raw[:, -4:-2]
        return torch.cat([(object_b - centre) / POSITION_SCALE_M, raw[:, 3:-4], goal_xy, raw[:, -2:]], dim=1)

    def _window(self, image: torch.Tensor, centre: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (n, 3, window, window) around ``centre`` (n, 2), and where exactly their middle is."""
        size = centre.new_tensor([self.cfg.width, self.cfg.height])
        half = self.cfg.window // 2
        middle = ((centre + 1.0) / 2.0 * size).round().clamp(min=0.0).minimum(size)
        x, y = middle.long().unbind(dim=1)
        steps = torch.arange(self.cfg.window, device=image.device)
        padded = functional.pad(image, (half, half, half, half))
        rows, columns = (y.unsqueeze(1) + steps).unsqueeze(2), (x.unsqueeze(1) + steps).unsqueeze(1)
        which = torch.arange(len(image), device=image.device).reshape(-1, 1, 1)
        window = padded.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)
        return window, 2.0 * middle / size - 1.0

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

    def _image(self, observation: Observation) -> torch.Tensor:
        rgb = pictures(observation)
        expected = (self.cfg.height, self.cfg.width, 3)
        if tuple(rgb.shape[1:]) != expected:
            raise ValueError(f"pictures are {tuple(rgb.shape[1:])}, expected {expected}")
        return normalised(rgb)


def _cell_centres(count: int, like: torch.Tensor) -> torch.Tensor:
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) * 2.0 / count - 1.0


def _hottest(heat: torch.Tensor) -> torch.Tensor:
    """Picture coordinates (n, 2) of the hottest cell of ``heat`` (n, h, w)."""
    h, w = heat.shape[1:]
    best = heat.flatten(1).argmax(dim=1)
    return torch.stack([_cell_centres(w, heat)[best % w], _cell_centres(h, heat)[best // w]], dim=1)


def _expected(heat: torch.Tensor) -> torch.Tensor:
    """Mean picture coordinates (n, 2) of ``heat`` (n, h, w) as logits (spatial softmax, Finn et al. 2016)."""
    h, w = heat.shape[1:]
    share = torch.softmax(heat.flatten(1), dim=1).unflatten(1, (h, w))
    x = (share.sum(dim=1) * _cell_centres(w, heat)).sum(dim=1)
    y = (share.sum(dim=2) * _cell_centres(h, heat)).sum(dim=1)
    return torch.stack([x, y], dim=1)


def normalised(rgb: torch.Tensor) -> torch.Tensor:
    """Network input (n, 3, height, width), -0.5 to 0.5, of pictures (n, height, width, 3), uint8."""
    return rgb.permute(0, 3, 1, 2).float() / 255.0 - 0.5
