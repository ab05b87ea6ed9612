from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.vision.dinov2_backbone import Backbone, load_dinov2
from flow_rag_vla.agents.vision.sighting import Sighting


def save_tiny_dinov2(path, seed=0, **changes):
    """A DINOv2 of two narrow layers with random weights, as the real one is stored."""
    from transformers import Dinov2Config, Dinov2Model

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14}
    config = Dinov2Config(mlp_ratio=2, image_size=28, **(sizes | changes))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        Dinov2Model(config).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def dinov2_folder(tmp_path_factory):
    return save_tiny_dinov2(tmp_path_factory.mktemp("dinov2"))


@pytest.fixture(scope="session")
def backbone(dinov2_folder) -> Backbone:
    return load_dinov2(dinov2_folder)


@pytest.fixture
def sighting_of():
    """A maker of sightings of one object."""

    def make(pos, spread=0.003, yaw=0.0, size=(0.05, 0.05, 0.05), rgb=(0.8, 0.1, 0.1)):
        def row(*values):
            return torch.tensor([values], dtype=torch.float32)

        return Sighting(
            object_pos_b=row(*pos),
            object_spread_m=row(spread, spread, spread),
            yaw_4=row(math.sin(4 * yaw), math.cos(4 * yaw)),
            yaw_2=row(math.sin(2 * yaw), math.cos(2 * yaw)),
            pitch=row(0.0),
            object_size_m=row(*size),
            object_rgb=row(*rgb),
            goal_xy_b=row(0.0, 0.0),
            goal_spread_m=row(1.0, 1.0),
        )

    return make
