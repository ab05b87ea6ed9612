from __future__ import annotations

import math

import pytest
import torch

from flow_rag_vla.agents.policy.features import POSITION_SCALE_M, WORKSPACE_CENTRE_M
from flow_rag_vla.agents.vision.networks.dinov2_backbone import load_dinov2
from flow_rag_vla.agents.vision.networks.network import normalised
from flow_rag_vla.agents.vision.networks.projection import Projection
from flow_rag_vla.agents.vision.networks.sighting import HEADS, Sighting
from flow_rag_vla.agents.vision.training import LABELS, LabelledPictures, seen_at


@pytest.fixture(scope="session")
def dinov2_folder(tmp_path_factory, save_tiny_dinov2):
    return save_tiny_dinov2(tmp_path_factory.mktemp("dinov2"))


@pytest.fixture
def backbone(dinov2_folder):
    return load_dinov2(dinov2_folder)


@pytest.fixture
def dots():
    """A maker of pictures of a block of pixels: an object at the height of the workspace's middle."""

    def make(count, colour=(255, 255, 255)):
        rgb = torch.zeros(count, 16, 24, 3, dtype=torch.uint8)
        width = sum(dict(HEADS)[name] for name in LABELS)
        labels = torch.full((count, width), torch.nan)
        centre = torch.tensor(WORKSPACE_CENTRE_M)
        for i in range(count):
            x, y = (5 * i) % 21, (3 * i) % 13
            rgb[i, y : y + 3, x : x + 3] = torch.tensor(colour, dtype=torch.uint8)
            middle = torch.tensor([[(x + 1.5) / 12 - 1.0, (y + 1.5) / 8 - 1.0]])
            place = Projection().at_height(middle, centre[2:])
            labels[i, :3] = (place[0] - centre) / POSITION_SCALE_M
        return LabelledPictures(rgb, torch.zeros(count, 12), labels, frozenset({0}), torch.zeros(count) > 0)

    return make


@pytest.fixture
def pixels_off():
    """Median distance, in pixels, of where a network says that the objects of pictures are from where they are."""

    def measure(net, data):
        with torch.no_grad():
            outputs = net.outputs(net(normalised(data.rgb), data.felt))
        said, _ = seen_at(torch.cat([outputs[:, :3], data.labels[:, 3:]], dim=1), net.projection)
        true, _ = seen_at(data.labels, net.projection)
        height, width = data.rgb.shape[1:3]
        return ((said - true) * torch.tensor([width / 2, height / 2])).norm(dim=1).median().item()

    return measure


@pytest.fixture
def seeing():
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
