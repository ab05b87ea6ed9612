"""Prints how long DINOv2-small takes to look at a picture; run by hand, not collected as a test.

    python tests/perf/dinov2_speed.py [--threads 1] [--batch 1] [--sizes 70x112 112x168 140x224] [--json FILE]

The network has the true architecture and random weights: they do not change how long it takes.  The small CNN is timed
beside it.  CPU time is printed beside wall time: on a busy machine, one thread takes its CPU time once the machine is
quiet.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.policy.features import observation_from_fields
from flow_rag_vla.agents.vision.networks.cnn import CnnEncoder
from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg
from flow_rag_vla.agents.vision.networks.dinov2_backbone import Backbone

if TYPE_CHECKING:
    from flow_rag_vla.agents.vision.networks.network import VisionNetwork
    from flow_rag_vla.tasks.contract import Observation


def main() -> None:
    """Time ``look`` of DINOv2 at each size, and of the CNN."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1, help="pictures at a time")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--sizes", nargs="+", default=["70x112", "112x168", "140x224"], help="height x width, pixels")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    observation = pictures(arguments.batch)
    rows = [measure("CNN 80x128", CnnEncoder().eval(), observation, arguments.repetitions)]
    backbone = random_backbone()
    for size in arguments.sizes:
        height, width = (int(edge) for edge in size.split("x"))
        encoder = DinoV2Encoder(backbone, DinoV2EncoderCfg(height, width)).eval()
        name = f"DINOv2-small {size}, {encoder.rows * encoder.columns} patches"
        rows.append(measure(name, encoder, observation, arguments.repetitions))
    for row in rows:
        print(f"{row['network']:<36} {row['ms']:8.1f} ms a picture {row['cpu_ms']:8.1f} ms CPU")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def random_backbone() -> Backbone:
    """DINOv2-small (22 million parameters, pretrained on pictures of 518 pixels) without its weights."""
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, patch_size=14, image_size=518)
    model = Dinov2Model(config)
    return Backbone(model.eval().requires_grad_(False), sha256="", folder=Path())


def pictures(batch: int) -> Observation:
    """An observation with camera pictures of noise."""
    widths = {"ee_pos_b": 3, "ee_quat_b": 4, "gripper_width_m": 1, "grip_force_n": 1, "previous_action": 7}
    observation = observation_from_fields({name: torch.ones(batch, width) for name, width in widths.items()})
    return dataclasses.replace(observation, rgb=torch.randint(0, 256, (batch, 80, 128, 3), dtype=torch.uint8))


def measure(name: str, network: VisionNetwork, observation: Observation, repetitions: int) -> dict[str, float | str]:
    """Median milliseconds a picture."""
    wall, cpu = [], []
    for i in range(repetitions + 2):
        start, cpu_start = time.perf_counter(), time.process_time()
        network.look(observation)
        if i >= 2:
            wall.append(1000.0 * (time.perf_counter() - start) / observation.num_envs)
            cpu.append(1000.0 * (time.process_time() - cpu_start) / observation.num_envs)
    return {"network": name, "ms": statistics.median(wall), "cpu_ms": statistics.median(cpu)}


if __name__ == "__main__":
    main()
