"""What a node needs of a run's networks travels with the run, a backbone included."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from flow_rag_vla.agents.vision.checkpoint import VisionCheckpoint, save_vision
from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg
from flow_rag_vla.agents.vision.networks.dinov2_backbone import MODEL, load_dinov2
from flow_rag_vla.benchmark.run.config import BenchmarkSettings
from flow_rag_vla.benchmark.run.run import load_networks
from flow_rag_vla.benchmark.workers.cargo import WEIGHTS


def test_a_run_that_sees_with_dinov2_takes_the_backbone_along(
    tmp_path: Path, save_tiny_dinov2: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "models" / MODEL).mkdir(parents=True)
    save_tiny_dinov2(tmp_path / "models" / MODEL)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = DinoV2Encoder(load_dinov2(), DinoV2EncoderCfg(height=28, width=42))
    save_vision(tmp_path / "vision.safetensors", VisionCheckpoint(encoder))
    settings = BenchmarkSettings(
        ablation="parallel", obs="rgb", vision=str(tmp_path / "vision.safetensors"), device="cpu"
    )
    here = load_networks(settings)
    for cargo in here.cargo():
        place = tmp_path / "node" / cargo.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(cargo.read())
    shutil.rmtree(tmp_path / "models")  # no node has them
    with pytest.raises(ValueError, match="no DINOv2 weights here"):
        load_networks(settings)
    there = load_networks(settings, tmp_path / "node" / WEIGHTS)
    assert there.sha256 == here.sha256
    assert {"vision_sha256", "backbone_sha256", "backbone_config_sha256"} <= here.sha256.keys()
    assert all(path.is_relative_to(tmp_path / "node") for path in there.files.values())
    assert isinstance(here.vision, DinoV2Encoder)
    assert isinstance(there.vision, DinoV2Encoder)
    one, other = (next(net.backbone.parameters()) for net in (here.vision, there.vision))
    assert torch.equal(one, other)
