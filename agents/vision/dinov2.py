"""DINOv2 (Oquab et al. 2023) as a vision encoder, from a local folder or the hub's cache, never from the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from flow_rag_vla.agents.encoders import EMBEDDING_DIM
from flow_rag_vla.agents.model_files import MODELS, local_folder, missing_files, verify
from flow_rag_vla.agents.vision.image_encoder import pictures
from flow_rag_vla.agents.vision.proprioception import NUM_PROPRIOCEPTION, proprioception

if TYPE_CHECKING:
    from transformers import Dinov2Model

    from flow_rag_vla.tasks.contract import Observation

MODEL = "dinov2-small"

IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, as the published preprocessor has them."""

DEFAULT_SIDE_PX = 98
"""Pictures are resized to this square: 7 x 7 patches of 14 pixels, all that a CPU affords."""


def load_dinov2(source: str | Path | None = None) -> Dinov2Model:
    """The backbone, in evaluation mode, from a folder with ``config.json`` and ``model.safetensors``.

    Args:
        source: A folder; by default the project's model folder, and where that holds none the hub's local cache.

    Raises:
        ValueError: one line: no weights here, and which files belong into which folder; or files in the project's
            folder that are not those whose sha256 was recorded when they were fetched.
    """
    if source is None and not missing_files(MODEL):
        verify(MODEL)
    # Imported late: it costs seconds.
    from transformers import Dinov2Model

    entry = MODELS[MODEL]
    folder = Path(source) if source is not None else local_folder(MODEL)
    places = [str(folder)] if source is not None else [str(folder), entry.repo]
    problem = ""
    for place in places:
        if place == str(folder) and not folder.is_dir():
            continue
        try:
            model = Dinov2Model.from_pretrained(place, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError) as error:
            problem = f" ({str(error).strip().splitlines()[0]})" if place == str(folder) else ""
            continue
        return model.eval().requires_grad_(False)
    files = " and ".join(entry.needed)
    raise ValueError(
        f"no DINOv2 weights here{problem}: put {files} of https://huggingface.co/{entry.repo} into {folder}, "
        f"or run scripts/download_models.py --model {MODEL} where there is a network"
    )


class DinoV2Encoder(nn.Module):
    """Class token of a frozen DINOv2 and proprioception, projected to a state embedding.

    The projection is all there is to train.  It starts from ``seed``: without the backbone's weights nobody here could
    train it.
    """

    def __init__(self, backbone: Dinov2Model, side_px: int = DEFAULT_SIDE_PX, seed: int = 0) -> None:
        """Look through ``backbone`` at pictures of ``side_px``.

        Raises:
            ValueError: ``side_px`` is no multiple of the patches' edge.
        """
        super().__init__()
        patch = int(backbone.config.patch_size)  # pyright: ignore[reportArgumentType] (a pair in no DINOv2)
        if side_px < patch or side_px % patch:
            raise ValueError(f"side_px is {side_px}, expected a multiple of the patch size {patch}")
        self.backbone, self.side_px = backbone, side_px
        width = backbone.config.hidden_size + NUM_PROPRIOCEPTION
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projection = nn.Sequential(nn.Linear(width, EMBEDDING_DIM), nn.LayerNorm(EMBEDDING_DIM))

    @property
    def embedding_dim(self) -> int:
        """Numbers in an embedding."""
        return EMBEDDING_DIM

    def forward(self, rgb: torch.Tensor, felt: torch.Tensor) -> torch.Tensor:
        """State embeddings (n, 512) of pictures (n, height, width, 3), uint8, and proprioception (n, k)."""
        image = rgb.permute(0, 3, 1, 2).float() / 255.0
        image = functional.interpolate(image, (self.side_px, self.side_px), mode="bilinear", antialias=True)
        mean, std = (image.new_tensor(values).reshape(1, 3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
        token = self.backbone(pixel_values=(image - mean) / std).pooler_output
        return self.projection(torch.cat([token, felt], dim=1))

    @torch.no_grad()
    def encode(self, observation: Observation) -> torch.Tensor:
        """State embeddings (num_envs, 512), without gradient; raises ``ValueError`` without pictures."""
        return self(pictures(observation), proprioception(observation))
