"""Detector checkpoints: weights and thresholds as safetensors with a JSON header; loading one never runs anything."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from flow_rag_vla.agents.detection.network import FailureDetector
from flow_rag_vla.agents.detection.window import NUM_STATE_FEATURES
from flow_rag_vla.agents.file_hash import file_sha256
from flow_rag_vla.tasks.contract import PHASES

FORMAT = "flow-rag-vla-detector"
FORMAT_VERSION = 1
THRESHOLDS = "thresholds"
_MAX_HIDDEN_DIM = 8192

DEFAULT_DETECTOR = Path(__file__).resolve().parents[1] / "checkpoints" / "detector.safetensors"


@dataclass(frozen=True)
class DetectorCheckpoint:
    """A failure detector, from which logit on it alarms, and where it came from."""

    detector: FailureDetector
    thresholds: torch.Tensor
    """(phases,) logits, infinite where too few successes calibrated a phase."""
    alpha: float
    """Nominal rate of false alarms, a successful episode."""
    training: dict[str, Any] = field(default_factory=dict)
    """JSON-able: the command, seeds and figures that made it."""
    sha256: str = ""
    """Of the file; empty before it is saved."""


class _HeaderError(Exception):
    """What is wrong with a file that safetensors can read."""


def save_detector(path: str | Path, checkpoint: DetectorCheckpoint) -> str:
    """Write ``checkpoint`` whole or not at all; returns the sha256 of the file."""
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "state_dim": checkpoint.detector.state_dim,
        "hidden_dim": checkpoint.detector.hidden_dim,
        "alpha": checkpoint.alpha,
        "training": checkpoint.training,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.detector.state_dict().items()}
    tensors[THRESHOLDS] = checkpoint.thresholds.float().cpu().contiguous()
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={"detector": json.dumps(header, sort_keys=True, allow_nan=False)})
    partial.replace(path)
    return file_sha256(path)


def load_detector(path: str | Path, device: str = "cpu") -> DetectorCheckpoint:
    """The detector saved at ``path``, in evaluation mode.

    Raises:
        ValueError: one line: the file is missing, is not such a checkpoint, is cut short, or its tensors do not fit
            its header or this program.
    """
    path = Path(path)
    try:
        header, tensors = _read(path)
        checkpoint = _build(header, tensors, file_sha256(path))
    except (OSError, SafetensorError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "no such file" if missing else f"not a readable safetensors file ({error})"
        raise ValueError(f"detector {path}: {reason}".replace("\n", " ")) from None
    except _HeaderError as error:
        raise ValueError(f"detector {path}: {error}".replace("\n", " ")) from None
    checkpoint.detector.to(device)
    return checkpoint


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get("detector")
        if text is None:
            raise _HeaderError("has no detector header; scripts/train_detector.py did not write it")
        try:
            header = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _HeaderError(f"its header is not JSON ({error})") from None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise _HeaderError(f"its header does not say format {FORMAT!r}")
        if header.get("version") != FORMAT_VERSION:
            raise _HeaderError(f"has version {header.get('version')!r}, this program reads {FORMAT_VERSION}")
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)


def _build(header: dict[str, Any], tensors: dict[str, torch.Tensor], sha256: str) -> DetectorCheckpoint:
    state_dim, hidden_dim, alpha = (header.get(name) for name in ("state_dim", "hidden_dim", "alpha"))
    if type(state_dim) is not int or state_dim != NUM_STATE_FEATURES:
        raise _HeaderError(f"reads states of {state_dim!r} numbers, this program computes {NUM_STATE_FEATURES}")
    if type(hidden_dim) is not int or not 1 <= hidden_dim <= _MAX_HIDDEN_DIM:
        raise _HeaderError(f"hidden_dim is {hidden_dim!r}, expected 1 to {_MAX_HIDDEN_DIM}")
    if type(alpha) is not float or not 0.0 < alpha < 1.0:
        raise _HeaderError(f"alpha is {alpha!r}, expected a number between 0 and 1")
    # Shapes first, memory later: a header that lies about sizes must not allocate.
    with torch.device("meta"):
        detector = FailureDetector(state_dim, hidden_dim)
    expected = {**detector.state_dict(), THRESHOLDS: torch.empty(len(PHASES), device="meta")}
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or extra:
        raise _HeaderError(f"tensors do not fit its header: missing {missing[:3]}, unexpected {extra[:3]}")
    for name, value in tensors.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise _HeaderError(
                f"tensor {name} is {value.dtype} {tuple(value.shape)}, "
                f"expected {expected[name].dtype} {tuple(expected[name].shape)}"
            )
        sound = ~torch.isnan(value) if name == THRESHOLDS else torch.isfinite(value)
        if not bool(sound.all()):
            raise _HeaderError(f"tensor {name} holds values that are not finite")
    thresholds = tensors.pop(THRESHOLDS)
    detector.load_state_dict(tensors, assign=True)
    detector.eval().requires_grad_(False)
    return DetectorCheckpoint(detector, thresholds, alpha, header.get("training", {}), sha256)
