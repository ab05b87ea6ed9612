"""Detector checkpoints: weights and limits as safetensors with a JSON header; loading one never runs anything."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from flow_rag_vla.agents.detection.conformal import AlarmLimits
from flow_rag_vla.agents.detection.network import FailureDetector
from flow_rag_vla.agents.detection.novelty import RandomNetworkDistillation
from flow_rag_vla.agents.detection.scorer import SCORES, FailureScorer
from flow_rag_vla.agents.detection.window import NUM_STATE_FEATURES
from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.files.safetensors_file import (
    HeaderError,
    errors_in_one_line,
    read_with_header,
    require_format,
    require_names,
    require_values,
    save_with_header,
)
from flow_rag_vla.tasks.contract import ACTION_DIM, PHASES

HEADER = "detector"
FORMAT = "flow-rag-vla-detector"
FORMAT_VERSION = 2
CLASSIFIER, NOVELTY, LIMITS = "classifier.", "novelty.", "limits."
"""Prefixes of the tensors' names."""
_MAX_HIDDEN_DIM = 8192

DEFAULT_DETECTOR = Path(__file__).resolve().parents[1] / "checkpoints" / "detector.safetensors"


@dataclass(frozen=True)
class DetectorCheckpoint:
    """A failure detector, from which scores on it alarms, and where it came from."""

    scorer: FailureScorer
    limits: AlarmLimits
    alpha: float
    """Nominal rate of false alarms, a successful episode."""
    training: dict[str, Any] = field(default_factory=dict)
    """JSON-able: the command, seeds and figures that made it."""
    sha256: str = ""
    """Of the file; empty before it is saved."""


def save_detector(path: str | Path, checkpoint: DetectorCheckpoint) -> str:
    """Write ``checkpoint`` whole or not at all; returns the sha256 of the file."""
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "state_dim": checkpoint.scorer.classifier.state_dim,
        "hidden_dim": checkpoint.scorer.classifier.hidden_dim,
        "alpha": checkpoint.alpha,
        "training": checkpoint.training,
    }
    return save_with_header(Path(path), HEADER, header, _tensors(checkpoint.scorer, checkpoint.limits))


def _tensors(scorer: FailureScorer, limits: AlarmLimits) -> dict[str, torch.Tensor]:
    parts = (
        (CLASSIFIER, scorer.classifier.state_dict()),
        (NOVELTY, scorer.novelty.state_dict()),
        (LIMITS, {name: value.float() for name, value in vars(limits).items()}),
    )
    return {prefix + name: value for prefix, values in parts for name, value in values.items()}


def load_detector(path: str | Path, device: str = "cpu") -> DetectorCheckpoint:
    """The detector saved at ``path``, in evaluation mode.

    Raises:
        ValueError: one line: the file is missing, is not such a checkpoint, is cut short, or its tensors do not fit
            its header or this program.
    """
    path = Path(path)
    with errors_in_one_line("detector", path):
        header, tensors = read_with_header(path, HEADER)
        require_format(
            header, FORMAT, FORMAT_VERSION, "has no detector header; scripts/train_detector.py did not write it"
        )
        checkpoint = _build(header, tensors, file_sha256(path))
    checkpoint.scorer.classifier.to(device)
    checkpoint.scorer.novelty.to(device)
    return dataclasses.replace(checkpoint, limits=checkpoint.limits.to(device))


def _build(header: dict[str, Any], tensors: dict[str, torch.Tensor], sha256: str) -> DetectorCheckpoint:
    state_dim, hidden_dim, alpha = (header.get(name) for name in ("state_dim", "hidden_dim", "alpha"))
    if type(state_dim) is not int or state_dim != NUM_STATE_FEATURES:
        raise HeaderError(f"reads states of {state_dim!r} numbers, this program computes {NUM_STATE_FEATURES}")
    if type(hidden_dim) is not int or not 1 <= hidden_dim <= _MAX_HIDDEN_DIM:
        raise HeaderError(f"hidden_dim is {hidden_dim!r}, expected 1 to {_MAX_HIDDEN_DIM}")
    if type(alpha) is not float or not 0.0 < alpha < 1.0:
        raise HeaderError(f"alpha is {alpha!r}, expected a number between 0 and 1")
    # Shapes first, memory later: a header that lies about sizes must not allocate.
    with torch.device("meta"):
        classifier = FailureDetector(state_dim, hidden_dim)
        levels, scales = torch.empty(len(PHASES), len(SCORES)), torch.empty(len(SCORES))
        limits = AlarmLimits(levels, scales, torch.empty(()))
    # Not on "meta": its orthogonal weights are computed.  Its size is the program's, not the header's.
    novelty = RandomNetworkDistillation(state_dim + ACTION_DIM)
    expected = _tensors(FailureScorer(classifier, novelty), limits)
    require_names(tensors, expected)
    require_values(tensors, expected, may_be_infinite=(LIMITS + "levels", LIMITS + "offset"))
    part = {
        prefix: {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        for prefix in (CLASSIFIER, NOVELTY, LIMITS)
    }
    for network, prefix in ((classifier, CLASSIFIER), (novelty, NOVELTY)):
        network.load_state_dict(part[prefix], assign=True)
        network.eval().requires_grad_(False)
    for name, value in part[LIMITS].items():
        if bool((value == -torch.inf).any()):
            raise HeaderError(f"limits.{name} holds a limit that everything exceeds")
    if not bool((part[LIMITS]["scales"] > 0).all()):
        raise HeaderError("limits.scales holds values that are not positive")
    scorer = FailureScorer(classifier, novelty)
    return DetectorCheckpoint(scorer, AlarmLimits(**part[LIMITS]), alpha, header.get("training", {}), sha256)
