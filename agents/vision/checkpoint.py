"""The trained CNN on disk: safetensors with a JSON header, so that loading it never runs anything."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from flow_rag_vla.agents.file_hash import file_sha256
from flow_rag_vla.agents.safetensors_file import (
    HeaderError,
    errors_in_one_line,
    read_with_header,
    require_values,
    save_with_header,
)
from flow_rag_vla.agents.vision.cnn import CnnEncoder, CnnEncoderCfg

HEADER = "vision"
FORMAT, FORMAT_VERSION = "flow-rag-vla-vision", 1
_MAX_SIZE = 2048

DEFAULT_VISION = Path(__file__).resolve().parents[1] / "checkpoints" / "vision_cnn.safetensors"
DEFAULT_VISION_SHA256 = "986de2b53d82a01ec62a81906530e10c3030909ab3e6ff850a3365d5516304b6"
"""Of the file that ships with the project; ``load_vision`` checks it."""


@dataclass(frozen=True)
class VisionCheckpoint:
    """A trained network and where it came from."""

    encoder: CnnEncoder
    training: dict[str, Any] = field(default_factory=dict)
    """JSON-able: the commands, seeds and figures that made it."""
    sha256: str = ""
    """Of the file; empty before it is saved."""


def save_vision(path: str | Path, checkpoint: VisionCheckpoint) -> str:
    """Write ``checkpoint`` atomically; returns the sha256 of the file."""
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "encoder": dataclasses.asdict(checkpoint.encoder.cfg),
        "training": checkpoint.training,
    }
    return save_with_header(Path(path), HEADER, header, checkpoint.encoder.state_dict())


def load_vision(path: str | Path = DEFAULT_VISION, device: str = "cpu") -> VisionCheckpoint:
    """The network saved at ``path``, in evaluation mode; the one that ships is checked against its hash.

    Raises:
        ValueError: one line: the file is missing, cut short, no such checkpoint, or its tensors do not fit its header.
    """
    path = Path(path)
    with errors_in_one_line("vision checkpoint", path, "no such file; train one with scripts/train_vision.py"):
        found = file_sha256(path)
        if path == DEFAULT_VISION and found != DEFAULT_VISION_SHA256:
            raise HeaderError(f"sha256 is {found}, expected {DEFAULT_VISION_SHA256}")
        header, tensors = read_with_header(path, HEADER)
        if not isinstance(header, dict) or (header.get("format"), header.get("version")) != (FORMAT, FORMAT_VERSION):
            raise HeaderError(f"its header does not say format {FORMAT!r} version {FORMAT_VERSION}")
        encoder = _built(header.get("encoder"))
        expected = encoder.state_dict()
        for name in sorted(set(expected) ^ set(tensors)):
            raise HeaderError(f"tensor {name} is {'unexpected' if name in tensors else 'missing'}")
        require_values(tensors, expected)
    encoder.load_state_dict(tensors, assign=True)
    encoder.to(device).eval().requires_grad_(False)
    return VisionCheckpoint(encoder, header.get("training", {}), found)


def _built(values: Any) -> CnnEncoder:
    defaults = dataclasses.asdict(CnnEncoderCfg())
    if not isinstance(values, dict) or sorted(values) != sorted(defaults):
        raise HeaderError(f"its encoder is {values!r}, expected the fields {sorted(defaults)}")
    for name, value in values.items():
        if type(value) is not int or not 1 <= value <= _MAX_SIZE:
            raise HeaderError(f"encoder.{name} is {value!r}, expected 1 to {_MAX_SIZE}")
    # Shapes first, memory later: a header that lies about sizes must not allocate.
    with torch.device("meta"):
        return CnnEncoder(CnnEncoderCfg(**values))
