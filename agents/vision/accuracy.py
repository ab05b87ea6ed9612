"""How far off a trained network is, in millimetres and degrees, on pictures that it was not trained on."""

from __future__ import annotations

import math

import torch

from flow_rag_vla.agents.policy.features import POSITION_SCALE_M, SIZE_SCALE_M
from flow_rag_vla.agents.vision.networks.network import VisionNetwork, normalised
from flow_rag_vla.agents.vision.networks.proprioception import CLOSED
from flow_rag_vla.agents.vision.networks.sighting import HEADS
from flow_rag_vla.agents.vision.training import LABELS, LabelledPictures


def accuracy(net: VisionNetwork, data: LabelledPictures) -> list[str]:
    """Lines of a table: absolute errors on the pictures of ``data``, for open and closed grippers.

    Pictures of displaced cameras are a third group: there the network is to be wrong by the displacement, and errors
    are against that.
    """
    with torch.no_grad():
        parts = zip(data.rgb.split(128), data.felt.split(128), strict=True)
        outputs = torch.cat([net.outputs(net(normalised(rgb), felt)) for rgb, felt in parts])
    width = dict(HEADS)
    said = dict(zip((n for n, _ in HEADS), outputs.split([w for _, w in HEADS], dim=1), strict=True))
    true = dict(zip(LABELS, data.labels.split([width[n] for n in LABELS], dim=1), strict=True))
    closed = data.felt[:, CLOSED] > 0
    lines = [f"{len(closed)} pictures; median and 95th percentile of absolute errors"]
    groups = (
        ("gripper open", ~closed & ~data.displaced),
        ("gripper closed", closed & ~data.displaced),
        ("displaced", data.displaced),
    )
    for which, rows in groups:
        position = 1000 * POSITION_SCALE_M * (said["object_pos"] - true["object_pos"])[rows]
        goal = 1000 * POSITION_SCALE_M * (said["goal_xy"] - true["goal_xy"])[rows].norm(dim=1)
        quantities = {
            "object x, mm": position[:, 0].abs(),
            "object y, mm": position[:, 1].abs(),
            "object z, mm": position[:, 2].abs(),
            "object distance, mm": position.norm(dim=1),
            "yaw of boxes, deg": _angle_deg(said["yaw_4"], true["yaw_4"], 4)[rows],
            "yaw of bars, deg": _angle_deg(said["yaw_2"], true["yaw_2"], 2)[rows],
            "size, mm": 1000 * SIZE_SCALE_M * (said["size"] - true["size"])[rows].abs().amax(dim=1),
            "colour, 0 to 1": (said["rgb"] - true["rgb"])[rows].norm(dim=1),
            "goal, mm": goal,
        }
        for name, values in quantities.items():
            known = values[values.isfinite()]
            if len(known):
                p50, p95 = known.quantile(torch.tensor([0.5, 0.95])).tolist()
                lines.append(f"{which:<15} {name:<20} {p50:8.2f} {p95:8.2f}  n {len(known)}")
    return lines


def _angle_deg(said: torch.Tensor, true: torch.Tensor, factor: int) -> torch.Tensor:
    """(n,) difference of angles whose ``factor``-fold sine and cosine (n, 2) are given, degrees."""
    difference = torch.atan2(said[:, 0], said[:, 1]) - torch.atan2(true[:, 0], true[:, 1])
    return torch.remainder(difference + math.pi, 2 * math.pi).sub(math.pi).abs() * 180.0 / math.pi / factor
