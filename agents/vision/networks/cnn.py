"""A small convolutional network: picture and proprioception to a state embedding, and from it to a sighting.

It looks twice.  A coarse look at the whole picture finds object and goal as heat maps; a fine look at a window around
the object says what it is and how it lies.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from flow_rag_vla.agents.policy.encoders import EMBEDDING_DIM
from flow_rag_vla.agents.vision.networks.image_encoder import CNN
from flow_rag_vla.agents.vision.networks.network import GOAL, OBJECT, Look, VisionNetwork, cell_centres, expected_place
from flow_rag_vla.agents.vision.networks.proprioception import NUM_PROPRIOCEPTION

STRIDE = 4
"""Pixels of a cell of the heat maps."""

WINDOW_JITTER_PX = 5.0
"""How far off the object the fine look is taught: as far as a coarse look may send it."""


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


def _block(n_in: int, n_out: int, size: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(n_in, n_out, size, stride, padding=(size - stride + 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU())


class CnnEncoder(VisionNetwork):
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
        self._join(w * cells + 4 + NUM_PROPRIOCEPTION, self.cfg.embedding_dim)

    @property
    def reach(self) -> tuple[float, float]:
        """Half a window."""
        return self.cfg.window / self.cfg.width, self.cfg.window / self.cfg.height

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
        joined = torch.cat([features, centre, expected_place(heat[:, GOAL]), felt], dim=1)
        return Look(self.embed(joined), heat, centre, felt)

    def look_in_training(
        self, image: torch.Tensor, felt: torch.Tensor, seen_at: torch.Tensor, rng: torch.Generator
    ) -> Look:
        """The fine look is taught around where the object is, give or take: where a coarse look may have sent it."""
        off = 2.0 * torch.rand(seen_at.shape, generator=rng) - 1.0
        size = seen_at.new_tensor([self.cfg.width, self.cfg.height])
        return self(image, felt, seen_at + off * 2.0 * WINDOW_JITTER_PX / size)

    def description(self) -> dict[str, Any]:
        """Kind and sizes."""
        return {"kind": CNN, "encoder": asdict(self.cfg)}

    def require_size(self, rgb: torch.Tensor) -> None:
        """Nothing, if pictures are of the size that the network was made for; else raises ``ValueError``."""
        expected = (self.cfg.height, self.cfg.width, 3)
        if tuple(rgb.shape[1:]) != expected:
            raise ValueError(f"pictures are {tuple(rgb.shape[1:])}, expected {expected}")

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


def _hottest(heat: torch.Tensor) -> torch.Tensor:
    """Picture coordinates (n, 2) of the hottest cell of ``heat`` (n, h, w)."""
    h, w = heat.shape[1:]
    best = heat.flatten(1).argmax(dim=1)
    return torch.stack([cell_centres(w, heat)[best % w], cell_centres(h, heat)[best // w]], dim=1)
