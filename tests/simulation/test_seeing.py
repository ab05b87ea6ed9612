"""Agents that see with DINOv2, waiting for each picture or not: a tiny one of the same architecture, untrained."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

from flow_rag_vla.agents.arms.catalogue import FLOW_ONLY
from flow_rag_vla.agents.policy.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
from flow_rag_vla.agents.vision.asynchronous import AsynchronousEncoder
from flow_rag_vla.agents.vision.checkpoint import VisionCheckpoint, save_vision
from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg
from flow_rag_vla.agents.vision.networks.dinov2_backbone import MODEL, load_dinov2
from flow_rag_vla.benchmark.episodes.actors import default_arm_settings, make_policy_agent, open_vision
from flow_rag_vla.benchmark.episodes.plan import Unit
from flow_rag_vla.benchmark.episodes.rollout import run_batch
from flow_rag_vla.benchmark.policies.evaluate import planned_episodes

if TYPE_CHECKING:
    from pathlib import Path

    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.episodes.rollout import BatchResult
    from flow_rag_vla.tasks.env.manipulation_env import ManipulationEnv

pytestmark = pytest.mark.sim

NUM_ENVS, STEPS = 4, 24
DECISIONS = STEPS // 8
TASK = "FlowRAG-PickPlace-Franka"


@pytest.fixture(scope="module")
def fleet() -> Iterator[ManipulationEnv]:
    """Four environments with cameras, for episodes of three decisions."""
    from flow_rag_vla.tasks.env.make import make_fleet

    env = make_fleet(TASK, NUM_ENVS, physics="newton_mujoco", device="cpu", max_steps=STEPS, camera=True)
    yield env
    env.close()


@pytest.fixture
def vision(tmp_path: Path, save_tiny_dinov2, monkeypatch: pytest.MonkeyPatch) -> str:
    """A checkpoint of a head, and the backbone where it is looked for."""
    monkeypatch.setenv("FLOW_RAG_VLA_MODELS", str(tmp_path))
    save_tiny_dinov2(tmp_path / MODEL)
    path = tmp_path / "vision.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = DinoV2Encoder(load_dinov2(), DinoV2EncoderCfg(height=28, width=42))
    save_vision(path, VisionCheckpoint(encoder))
    return str(path)


def run(env: ManipulationEnv, vision: VisionEncoder | None) -> BatchResult:
    policy = load_checkpoint(DEFAULT_CHECKPOINT)
    settings = default_arm_settings(policy.flow.horizon, TASK)
    agent = make_policy_agent(FLOW_ONLY, env, policy, settings, vision=vision)
    episodes = planned_episodes(TASK, "development", 0, NUM_ENVS)
    unit = Unit("flow_only", 0, NUM_ENVS, tuple(episodes))
    return run_batch(env, agent, unit, episodes, 0.0)


def test_a_policy_acts_on_what_dinov2_sees(fleet: ManipulationEnv, vision: str) -> None:
    looks = []
    with open_vision("rgb", vision) as encoder:
        assert isinstance(encoder, DinoV2Encoder)
        encoder.register_forward_hook(lambda _, inputs, look: looks.append((inputs[0].shape, look.embedding.shape)))
        first, again = run(fleet, encoder), run(fleet, encoder)
    assert [r.decisions for r in first.records] == [DECISIONS] * NUM_ENVS
    assert looks == [((NUM_ENVS, 3, 80, 128), (NUM_ENVS, 512))] * (2 * DECISIONS)
    assert first.records == again.records


def test_pictures_may_come_late_and_each_batch_begins_with_its_own(fleet: ManipulationEnv, vision: str) -> None:
    threads = set(threading.enumerate())
    with open_vision("rgb", vision, asynchronous=True) as encoder:
        assert isinstance(encoder, AsynchronousEncoder)
        for _ in range(2):
            played = run(fleet, encoder)
            assert [r.decisions for r in played.records] == [DECISIONS] * NUM_ENVS
            ages = [age for _, age in encoder._ages]
            assert ages[0] == 0
            assert all(age >= 1 for age in ages[1:])
            assert encoder.take_ages()["calls"] == DECISIONS
    assert set(threading.enumerate()) <= threads


def test_without_its_backbone_nothing_is_run(vision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tmp_path / MODEL)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ValueError, match="no DINOv2 weights here"), open_vision("rgb", vision):
        pass
