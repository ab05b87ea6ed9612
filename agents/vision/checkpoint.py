"""A trained vision network on disk: safetensors with a JSON header, so that loading it never runs anything.

Of a network on a frozen backbone the file holds what was trained; the header says on which backbone.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from flow_rag_vla.agents.files.file_hash import file_sha256
from flow_rag_vla.agents.files.safetensors_file import (
    HeaderError,
    errors_in_one_line,
    read_header,
    read_with_header,
    require_format,
    require_names,
    require_values,
    save_with_header,
)
from flow_rag_vla.agents.vision.networks.cnn import CnnEncoder, CnnEncoderCfg
from flow_rag_vla.agents.vision.networks.dinov2 import DinoV2Encoder, DinoV2EncoderCfg
from flow_rag_vla.agents.vision.networks.dinov2_backbone import DIMENSIONS, MODEL, WEIGHTS, Backbone, load_dinov2
from flow_rag_vla.agents.vision.networks.image_encoder import CNN, DINOV2, KINDS
from flow_rag_vla.agents.vision.networks.network import VisionNetwork

HEADER = "vision"
FORMAT, FORMAT_VERSION = "flow-rag-vla-vision", 1
_MAX_SIZE = 2048

DEFAULT_VISION = Path(__file__).resolve().parents[1] / "checkpoints" / "vision_cnn.safetensors"
DEFAULT_VISION_SHA256 = "986de2b53d82a01ec62a81906530e10c3030909ab3e6ff850a3365d5516304b6"
"""Of the file that ships with the project; ``load_vision`` checks it."""

_MISSING = "no such file; train one with scripts/train_vision.py"


@dataclass(frozen=True)
class VisionCheckpoint:
    """A trained network and where it came from."""

    encoder: VisionNetwork
    training: dict[str, Any] = field(default_factory=dict)
    """JSON-able: the commands, seeds and figures that made it."""
    sha256: str = ""
    """Of the file; empty before it is saved."""

    @property
    def backbone(self) -> Backbone | None:
        """The frozen network that it needs beside the file; None where it needs none."""
        return self.encoder.source if isinstance(self.encoder, DinoV2Encoder) else None


@dataclass(frozen=True)
class NeededBackbone:
    """The backbone that a checkpoint was trained on."""

    model: str
    """Name in ``model_files.MODELS``."""
    sha256: dict[str, str]
    """File to the hash that it must have."""


def save_vision(path: str | Path, checkpoint: VisionCheckpoint) -> str:
    """Write ``checkpoint`` atomically, without its backbone; returns the sha256 of the file."""
    encoder = checkpoint.encoder
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        **encoder.description(),
        "training": checkpoint.training,
    }
    return save_with_header(Path(path), HEADER, header, encoder.trained_state())


def load_vision(
    path: str | Path = DEFAULT_VISION, device: str = "cpu", backbone: str | Path | None = None
) -> VisionCheckpoint:
    """The network saved at ``path``, in evaluation mode; the one that ships is checked against its hash.

    Args:
        path: The file; its header says what kind of network it is.
        device: Where to put it.
        backbone: Folder of the backbone's weights, where it has one; default as in ``load_dinov2``.

    Raises:
        ValueError: one line: the file is missing, cut short, no such checkpoint, or its tensors do not fit its header;
            or its backbone is not here, or is another one.
    """
    path = Path(path)
    with errors_in_one_line("vision checkpoint", path, _MISSING):
        found = file_sha256(path)
        if path == DEFAULT_VISION and found != DEFAULT_VISION_SHA256:
            raise HeaderError(f"sha256 is {found}, expected {DEFAULT_VISION_SHA256}")
        header, tensors = read_with_header(path, HEADER)
        _require_format(header)
        encoder = _new_dinov2(header, backbone) if _kind(header) == DINOV2 else _new_cnn(header)
        expected = encoder.trained_state()
        require_names(tensors, expected)
        require_values(tensors, expected)
    # Not strict: a backbone's weights are there already.
    encoder.load_state_dict(tensors, strict=False, assign=True)
    encoder.to(device).eval().requires_grad_(False)
    return VisionCheckpoint(encoder, header.get("training", {}), found)


def needed_backbone(path: str | Path) -> NeededBackbone | None:
    """What the network saved at ``path`` needs beside its file; raises ``ValueError`` as ``load_vision`` does."""
    path = Path(path)
    with errors_in_one_line("vision checkpoint", path, _MISSING):
        header = read_header(path, HEADER)
        _require_format(header)
        if _kind(header) == CNN:
            return None
        return NeededBackbone(MODEL, {WEIGHTS: _backbone(header)["sha256"]})


def _require_format(header: Any) -> None:
    require_format(header, FORMAT, FORMAT_VERSION, f"has no header, so it does not say format {FORMAT!r}")


def _kind(header: dict[str, Any]) -> str:
    # The first files did not say: there was one kind.
    kind = header.get("kind", CNN)
    if kind not in KINDS:
        raise HeaderError(f"its kind is {kind!r}; available: {', '.join(KINDS)}")
    return kind


def _sizes(values: Any, defaults: dict[str, int]) -> dict[str, int]:
    """``values`` of a header, if they are sizes named as ``defaults``."""
    if not isinstance(values, dict) or sorted(values) != sorted(defaults):
        raise HeaderError(f"its encoder is {values!r}, expected the fields {sorted(defaults)}")
    for name, value in values.items():
        if type(value) is not int or not 1 <= value <= _MAX_SIZE:
            raise HeaderError(f"encoder.{name} is {value!r}, expected 1 to {_MAX_SIZE}")
    return values


def _new_cnn(header: dict[str, Any]) -> CnnEncoder:
    cfg = CnnEncoderCfg(**_sizes(header.get("encoder"), dataclasses.asdict(CnnEncoderCfg())))
    # Shapes first, memory later: a header that lies about sizes must not allocate.
    with torch.device("meta"):
        return CnnEncoder(cfg)


def _new_dinov2(header: dict[str, Any], folder: str | Path | None) -> DinoV2Encoder:
    cfg = DinoV2EncoderCfg(**_sizes(header.get("encoder"), dataclasses.asdict(DinoV2EncoderCfg())))
    trained_on = _backbone(header)
    try:
        backbone = load_dinov2(folder)
    except ValueError as error:
        raise HeaderError(str(error)) from None
    for name, here in (backbone.dimensions | {"sha256": backbone.sha256}).items():
        if trained_on[name] != here:
            raise HeaderError(
                f"was trained on a backbone with {name} {trained_on[name]}, the one in {backbone.folder} has {here}"
            )
    try:
        with torch.device("meta"):
            return DinoV2Encoder(backbone, cfg)
    except ValueError as error:
        raise HeaderError(f"encoder.{error}") from None


def _backbone(header: dict[str, Any]) -> dict[str, Any]:
    values = header.get("backbone")
    expected = sorted([*DIMENSIONS, "sha256"])
    if not isinstance(values, dict) or sorted(values) != expected:
        raise HeaderError(f"its backbone is {values!r}, expected the fields {expected}")
    if not isinstance(values["sha256"], str) or not re.fullmatch("[0-9a-f]{64}", values["sha256"]):
        raise HeaderError(f"backbone.sha256 is {values['sha256']!r}, expected 64 hexadecimal digits")
    return values
