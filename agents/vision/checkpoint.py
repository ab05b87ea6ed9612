"""The trained CNN on disk: safetensors with a JSON header, so that loading it never runs anything."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from flow_rag_vla.agents.file_hash import file_sha256
from flow_rag_vla.agents.vision.cnn import CnnEncoder, CnnEncoderCfg

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
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.encoder.state_dict().items()}
    save_file(tensors, partial, metadata={"vision": json.dumps(header, sort_keys=True, allow_nan=False)})
    partial.replace(path)
    return file_sha256(path)


def load_vision(path: str | Path = DEFAULT_VISION, device: str = "cpu") -> VisionCheckpoint:
    """The network saved at ``path``, in evaluation mode; the one that ships is checked against its hash.

    Raises:
        ValueError: one line: the file is missing, cut short, no such checkpoint, or its tensors do not fit its header.
    """
    path = Path(path)

    def refuse(reason: str) -> ValueError:
        return ValueError(f"vision checkpoint {os.fspath(path)}: {reason}".replace("\n", " "))

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("vision")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        found = file_sha256(path)
    except FileNotFoundError:
        raise refuse("no such file; train one with scripts/train_vision.py") from None
    except (OSError, SafetensorError) as error:
        raise refuse(f"not a readable safetensors file ({error})") from None
    if path == DEFAULT_VISION and found != DEFAULT_VISION_SHA256:
        raise refuse(f"sha256 is {found}, expected {DEFAULT_VISION_SHA256}")
    try:
        header = json.loads(text or "null")
    except (json.JSONDecodeError, RecursionError) as error:
        raise refuse(f"its header is not JSON ({error})") from None
    if not isinstance(header, dict) or (header.get("format"), header.get("version")) != (FORMAT, FORMAT_VERSION):
        raise refuse(f"its header does not say format {FORMAT!r} version {FORMAT_VERSION}")
    encoder = _built(header.get("encoder"), refuse)
    expected = encoder.state_dict()
    for name in sorted(set(expected) | set(tensors)):
        if name not in expected or name not in tensors:
            raise refuse(f"tensor {name} is {'unexpected' if name in tensors else 'missing'}")
        value, want = tensors[name], expected[name]
        if value.shape != want.shape or value.dtype != want.dtype:
            raise refuse(
                f"tensor {name} is {value.dtype} {tuple(value.shape)}, expected {want.dtype} {tuple(want.shape)}"
            )
        if not bool(torch.isfinite(value).all()):
            raise refuse(f"tensor {name} holds values that are not finite")
    encoder.load_state_dict(tensors, assign=True)
    encoder.to(device).eval().requires_grad_(False)
    return VisionCheckpoint(encoder, header.get("training", {}), found)


def _built(values: Any, refuse: Any) -> CnnEncoder:
    defaults = dataclasses.asdict(CnnEncoderCfg())
    if not isinstance(values, dict) or sorted(values) != sorted(defaults):
        raise refuse(f"its encoder is {values!r}, expected the fields {sorted(defaults)}")
    for name, value in values.items():
        if type(value) is not int or not 1 <= value <= _MAX_SIZE:
            raise refuse(f"encoder.{name} is {value!r}, expected 1 to {_MAX_SIZE}")
    # Shapes first, memory later: a header that lies about sizes must not allocate.
    with torch.device("meta"):
        return CnnEncoder(CnnEncoderCfg(**values))
