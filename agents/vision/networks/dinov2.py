"""DINOv2 (Oquab et al. 2023) as a vision encoder: a frozen backbone, and a small trained part that localises."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional

from flow_rag_vla.agents.policy.encoders import EMBEDDING_DIM
from flow_rag_vla.agents.vision.networks.dinov2_backbone import Backbone
from flow_rag_vla.agents.vision.networks.image_encoder import DINOV2, DINOV2_HEIGHT, DINOV2_WIDTH
from flow_rag_vla.agents.vision.networks.network import GOAL, OBJECT, Look, VisionNetwork, expected_place
from flow_rag_vla.agents.vision.networks.proprioception import NUM_PROPRIOCEPTION

IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, as the published preprocessor has them."""

FROZEN = "backbone."
"""Prefix of weights that are not trained here."""


@dataclass
class DinoV2EncoderCfg:
    """Size of the pictures that the backbone sees: camera pictures are resized to it.

    The default keeps the camera's 16 : 10.  It makes 10 x 16 patches of 14 pixels, each 8 camera pixels wide, about
    5 cm on the table: as wide as the objects.
    """

    height: int = DINOV2_HEIGHT
    width: int = DINOV2_WIDTH
    embedding_dim: int = EMBEDDING_DIM


def patch_grid(backbone: Backbone, cfg: DinoV2EncoderCfg) -> tuple[int, int]:
    """Rows and columns of patches that ``backbone`` makes of a picture.

    Raises:
        ValueError: height or width is no multiple of the patches' edge.
    """
    patch = backbone.dimensions["patch_size"]
    for name, pixels in (("height", cfg.height), ("width", cfg.width)):
        if pixels < patch or pixels % patch:
            raise ValueError(f"{name} is {pixels}, expected a multiple of the patch size {patch}")
    return cfg.height // patch, cfg.width // patch


class DinoV2Encoder(VisionNetwork):
    """A heat map over the patches of a frozen DINOv2 finds the object; class token and attended patch describe it.

    A class token alone says what is there, and hardly where.  One linear layer on every patch token makes the heat
    maps of object and goal; their spatial softmax gives places, and the object's also weighs the patch tokens to one
    attended token.  Class token, attended token, both places and proprioception become the embedding; the head says by
    how much of a patch the object is off its place.
    """

    def __init__(self, backbone: Backbone, cfg: DinoV2EncoderCfg | None = None) -> None:
        """Look through ``backbone``; all other weights are new.

        Raises:
            ValueError: height or width is no multiple of the patches' edge.
        """
        super().__init__()
        self.cfg = cfg if cfg is not None else DinoV2EncoderCfg()
        self.source = backbone
        self.rows, self.columns = patch_grid(backbone, self.cfg)
        width = backbone.dimensions["hidden_size"]
        self.backbone = backbone.model
        self.localiser = nn.Linear(width, 2)
        self._join(2 * width + 4 + NUM_PROPRIOCEPTION, self.cfg.embedding_dim)

    @property
    def reach(self) -> tuple[float, float]:
        """One patch."""
        return 2.0 / self.columns, 2.0 / self.rows

    def train(self, mode: bool = True) -> Self:
        """Set the mode of what is trained; the backbone always evaluates."""
        super().train(mode)
        self.backbone.eval()
        return self

    def description(self) -> dict[str, Any]:
        """Kind, sizes, and which backbone."""
        backbone = self.source.dimensions | {"sha256": self.source.sha256}
        return {"kind": DINOV2, "encoder": asdict(self.cfg), "backbone": backbone}

    def trained_state(self) -> dict[str, torch.Tensor]:
        """All weights but the backbone's."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(FROZEN)}

    def forward(self, image: torch.Tensor, felt: torch.Tensor) -> Look:
        """Look at pictures (n, 3, height, width) of any size, -0.5 to 0.5, with what the arm feels (n, k)."""
        size = (self.cfg.height, self.cfg.width)
        image = functional.interpolate(image + 0.5, size, mode="bilinear", antialias=True)
        mean, std = (image.new_tensor(values).reshape(1, 3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
        with torch.no_grad():
            tokens = self.backbone(pixel_values=(image - mean) / std).last_hidden_state
        whole, patches = tokens[:, 0], tokens[:, 1:]
        heat = self.localiser(patches).transpose(1, 2).unflatten(2, (self.rows, self.columns))
        attention = torch.softmax(heat[:, OBJECT].flatten(1), dim=1)
        attended = (attention.unsqueeze(1) @ patches)[:, 0]
        centre = expected_place(heat[:, OBJECT])
        joined = torch.cat([whole, attended, centre, expected_place(heat[:, GOAL]), felt], dim=1)
        return Look(self.embed(joined), heat, centre, felt)
