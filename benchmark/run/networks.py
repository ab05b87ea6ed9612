"""Every network that decides in a run, loaded once and handed down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR, load_detector
from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.demonstration_bank import bank_path
from flow_rag_vla.agents.vision.checkpoint import load_vision
from flow_rag_vla.benchmark.episodes.actors import checkpoint_path, load_bank, load_policy, vision_path

if TYPE_CHECKING:
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.run.config import BenchmarkSettings


@dataclass(frozen=True)
class Networks:
    """What a run's settings name, on its device; None for what they do not need."""

    policy: PolicyCheckpoint
    vision: VisionEncoder | None
    bank: DemonstrationBank | None
    detector: DetectorCheckpoint | None
    sha256: dict[str, str]
    """The hash of every file, for the manifest: ``policy_sha256``, ``vision_sha256`` and so on."""


def load_networks(settings: BenchmarkSettings) -> Networks:
    """The networks that resolved ``settings`` name.

    Raises:
        ValueError: a file cannot be read, the policy was not trained on the task, or its demonstrations have chunks of
            another length.
    """
    device = settings.device
    policy = load_policy(settings.checkpoint, settings.task, device, settings.agent.ode_steps)
    hashes = {"policy_sha256": policy.sha256}
    bank = load_bank([get_arm(name) for name in settings.arms], settings.checkpoint, policy, device)
    vision = detector = None
    if settings.obs == "rgb":
        checkpoint = load_vision(vision_path(settings.vision), device)
        vision = checkpoint.encoder
        hashes["vision_sha256"] = checkpoint.sha256
    if settings.detector == "learned":
        detector = load_detector(DEFAULT_DETECTOR, device)
        hashes["detector_sha256"] = detector.sha256
    if bank is not None:
        hashes["bank_sha256"] = file_sha256(bank_path(checkpoint_path(settings.checkpoint)))
    return Networks(policy, vision, bank, detector, hashes)
