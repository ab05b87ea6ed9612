"""A benchmark run: where it lies, what it is to do, and every network that decides in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.arms.registry import get_arm
from flow_rag_vla.agents.detection.checkpoint import DEFAULT_DETECTOR, load_detector
from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.policy.demonstration_bank import bank_path
from flow_rag_vla.agents.recall.new_memory import new_memory
from flow_rag_vla.agents.vision.checkpoint import load_vision
from flow_rag_vla.agents.vision.networks.dinov2_backbone import CONFIG, WEIGHTS
from flow_rag_vla.benchmark.episodes.actors import arm_settings, checkpoint_path, load_bank, load_policy, vision_path
from flow_rag_vla.benchmark.episodes.latency import LatencyProfile
from flow_rag_vla.benchmark.workers.barriers import Barriers
from flow_rag_vla.benchmark.workers.cargo import weight_cargo, weight_places

if TYPE_CHECKING:
    from flow_rag_vla.agents.arms.settings import ArmSettings
    from flow_rag_vla.agents.detection.checkpoint import DetectorCheckpoint
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.demonstration_bank import DemonstrationBank
    from flow_rag_vla.agents.vision.networks.image_encoder import VisionEncoder
    from flow_rag_vla.benchmark.episodes.plan import Plan
    from flow_rag_vla.benchmark.run.config import BenchmarkSettings
    from flow_rag_vla.benchmark.run.run_directory import RunDirectory
    from flow_rag_vla.benchmark.workers.cargo import Cargo


@dataclass(frozen=True)
class Networks:
    """What a run's settings name, on its device; None for what they do not need."""

    policy: PolicyCheckpoint
    vision: VisionEncoder | None
    bank: DemonstrationBank | None
    detector: DetectorCheckpoint | None
    sha256: dict[str, str]
    """The hash of every file, for the manifest: ``policy_sha256``, ``vision_sha256`` and so on."""
    files: dict[str, Path]
    """Where each was loaded from: ``policy``, ``vision`` and so on."""

    def cargo(self) -> list[Cargo]:
        """What must travel to a machine that does not see those files."""
        return weight_cargo(self.files, self.sha256)


def load_networks(settings: BenchmarkSettings, weights: Path | None = None) -> Networks:
    """The networks that resolved ``settings`` name, from where those lie or, on a node, from the folder ``weights``.

    Raises:
        ValueError: a file cannot be read, the policy was not trained on the task, or its demonstrations have chunks of
            another length.
    """
    device = settings.device
    named = {
        "policy": checkpoint_path(settings.checkpoint),
        "vision": vision_path(settings.vision),
        "detector": DEFAULT_DETECTOR,
    }
    places = named if weights is None else weight_places(weights)
    files = {"policy": places["policy"]}
    policy = load_policy(str(files["policy"]), settings.task, device, settings.agent.ode_steps)
    hashes = {"policy_sha256": policy.sha256}
    bank = load_bank([get_arm(name) for name in settings.arms], str(files["policy"]), policy, device)
    vision = detector = None
    if settings.obs == "rgb":
        files["vision"] = places["vision"]
        checkpoint = load_vision(files["vision"], device, None if weights is None else places["backbone"].parent)
        vision = checkpoint.encoder
        hashes["vision_sha256"] = checkpoint.sha256
        if (backbone := checkpoint.backbone) is not None:
            files["backbone"], files["backbone_config"] = backbone.folder / WEIGHTS, backbone.folder / CONFIG
            hashes["backbone_sha256"] = backbone.sha256
            hashes["backbone_config_sha256"] = file_sha256(files["backbone_config"])
    if settings.detector == "learned":
        files["detector"] = places["detector"]
        detector = load_detector(files["detector"], device)
        hashes["detector_sha256"] = detector.sha256
    if bank is not None:
        files["bank"] = bank_path(files["policy"])
        hashes["bank_sha256"] = file_sha256(files["bank"])
    return Networks(policy, vision, bank, detector, hashes, files)


@dataclass(frozen=True)
class Run:
    """A run that has been started, or is resumed."""

    directory: RunDirectory
    settings: BenchmarkSettings
    """Resolved: nothing in them is left open."""
    plan: Plan
    networks: Networks

    def barriers(self) -> Barriers:
        """The run's memories between its rounds."""
        settings, horizon = self.arm_settings(LatencyProfile({})), self.networks.policy.flow.horizon
        return Barriers(self.directory.path, self.plan.units, lambda source: new_memory(settings, horizon, source))

    def arm_settings(self, latency: LatencyProfile) -> ArmSettings:
        """What the run's arms are built from, where the virtual clock assumes ``latency``."""
        networks = self.networks
        return replace(
            arm_settings(
                self.settings.agent,
                networks.policy.flow.horizon,
                self.settings.task,
                networks.bank,
                networks.detector,
            ),
            seed=self.settings.seed,
            flow_ms=latency.flow_ms,
            retrieval_ms=latency.retrieval_ms,
        )
