"""A pretended CUDA device, and networks, memories and scenarios to be used on it."""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from flow_rag_vla.agents.arms.settings import AgentSettings, ArmSettings
from flow_rag_vla.agents.corrections.corrections import CANDIDATES
from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR, load_detector
from flow_rag_vla.agents.detection.scorer import FailureScorer
from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg
from flow_rag_vla.agents.policy.features import NUM_POLICY_FEATURES
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg
from flow_rag_vla.agents.recall import clock
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.agents.vision import asynchronous
from flow_rag_vla.agents.vision.networks.cnn import CnnEncoder
from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg
from flow_rag_vla.agents.vision.networks.dinov2_backbone import load_dinov2
from flow_rag_vla.memory.case import FailureCase

sys.path.append(str(Path(__file__).parent))

from pretended_cuda import SameThread, on_cuda, pretended_cuda
from pretended_streams import pretend_streams

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.vision.networks.network import VisionNetwork
    from flow_rag_vla.memory.failure_memory import FailureMemory

HORIZON = 8
EXECUTE = 4


@pytest.fixture(params=[True, False], ids=["yes", "no"])
def cuda(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, policy, detector, bank, memory, networks
) -> Iterator[str]:
    """The device's name; every question about a value is answered as the parameter says.

    What is read from files or made of given numbers is there before, on the CPU.
    """
    for module in (clock, asynchronous):
        monkeypatch.setattr(module, "ThreadPoolExecutor", SameThread)
    pretend_streams(monkeypatch)
    with pretended_cuda(answer=request.param):
        yield "cuda"


@pytest.fixture(scope="session")
def policy() -> PolicyCheckpoint:
    """A small untrained policy that knows the fake fleet's instruction."""
    known = InstructionTable(["do it"], ["PickPlace"], torch.eye(1, INSTRUCTION_DIM))
    encoder = LearnedStateEncoder(LearnedStateEncoderCfg(hidden_dim=16), known).eval()
    flow = FlowMatching(FlowMatchingCfg(VelocityNetworkCfg(horizon=HORIZON, hidden_dim=16, num_layers=1))).eval()
    return PolicyCheckpoint(encoder, flow)


@pytest.fixture(scope="session")
def detector() -> DetectorCheckpoint:
    """The one that ships with the project."""
    return load_detector(DEFAULT_DETECTOR)


@pytest.fixture(scope="session")
def networks(save_tiny_dinov2, tmp_path_factory: pytest.TempPathFactory) -> dict[str, VisionNetwork]:
    """Both kinds of vision network, untrained."""
    backbone = load_dinov2(save_tiny_dinov2(tmp_path_factory.mktemp("dinov2")))
    cfg = DinoV2EncoderCfg(height=28, width=42)
    return {"cnn": CnnEncoder().eval(), "dinov2": DinoV2Encoder(backbone, cfg).eval()}


@pytest.fixture(scope="session")
def bank(policy: PolicyCheckpoint) -> DemonstrationBank:
    """Two demonstrated states."""
    rows = (torch.zeros(2, NUM_POLICY_FEATURES), torch.zeros(2, HORIZON, 7), torch.zeros(2, dtype=torch.long))
    return DemonstrationBank(*rows, ["PickPlace"], policy.encoder.instructions)


@pytest.fixture
def memory() -> FailureMemory:
    """A case whose key every pretended observation has, once for each correction."""
    filled = new_memory(ArmSettings(AgentSettings()), HORIZON)
    filled.duplicate_threshold = 1.0
    prior = np.ones((len(CANDIDATES), 2), dtype=np.float32)
    prior[1, 0] = 9.0
    key = np.full(512, 512**-0.5, dtype=np.float32)
    chunk = np.zeros((HORIZON, 7), dtype=np.float32)
    filled.add([FailureCase(key, chunk, "drop", chunk, "carry", str(i), prior) for i in range(3)])
    return filled


@dataclasses.dataclass(frozen=True)
class OnCuda:
    """Everything that arms are made of, on the pretended device."""

    policy: PolicyCheckpoint
    settings: ArmSettings
    learned_settings: ArmSettings
    """With the learned detector."""
    memory: FailureMemory


@pytest.fixture
def parts(cuda: str, policy, detector, bank, memory) -> OnCuda:
    """What a run loads, on its device."""
    carried = dataclasses.replace(policy, encoder=on_cuda(policy.encoder), flow=on_cuda(policy.flow))
    bank = copy.copy(bank)
    bank._chunks = bank._chunks.to(cuda)
    settings = ArmSettings(AgentSettings(execute=EXECUTE), bank, task="pick_place")
    scorer = FailureScorer(on_cuda(detector.scorer.classifier), on_cuda(detector.scorer.novelty))
    learned = dataclasses.replace(detector, scorer=scorer, limits=detector.limits.to(cuda))
    return OnCuda(carried, settings, dataclasses.replace(settings, detector=learned), memory)
