"""Files that lie outside a run's directory and travel to the nodes of a cluster: the networks that the run names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow_rag_vla.agents.policy.demonstration_bank import bank_path
from flow_rag_vla.agents.vision.networks import dinov2_backbone
from flow_rag_vla.benchmark.command.errors import UsageError

WEIGHTS = "weights"
"""Folder of a node's copy of a run that holds them."""

_BACKBONE = "backbone"


@dataclass(frozen=True)
class Cargo:
    """One such file."""

    source: Path
    sha256: str
    """Of what was loaded from it when the run was started or resumed."""
    name: str
    """Below a node's copy of the run."""

    def read(self) -> bytes:
        """What is in it.

        Raises:
            UsageError: it is gone, or another file by now.
        """
        try:
            content = self.source.read_bytes()
        except OSError as error:
            raise UsageError(f"{self.source}: cannot be read: {error.strerror or error}") from None
        require_sha256(content, self.sha256, self.source)
        return content


def weight_cargo(files: Mapping[str, Path], sha256: Mapping[str, str]) -> list[Cargo]:
    """A run's networks.

    Args:
        files: What each is called in the manifest (``policy``, ``bank``, ...) to where it lies.
        sha256: ``NAME_sha256`` to the hash of each.
    """
    places = weight_places(Path(WEIGHTS))
    return [Cargo(path, sha256[f"{name}_sha256"], str(places[name])) for name, path in files.items()]


def weight_places(folder: Path) -> dict[str, Path]:
    """Where networks lie in ``folder``, by what the manifest calls them; a bank lies beside its policy."""
    places = {name: folder / f"{name}.safetensors" for name in ("policy", "vision", "detector")}
    backbone = folder / _BACKBONE
    return places | {
        "bank": bank_path(places["policy"]),
        "backbone": backbone / dinov2_backbone.WEIGHTS,
        "backbone_config": backbone / dinov2_backbone.CONFIG,
    }


def require_sha256(content: bytes, sha256: str, path: Path | str) -> None:
    """Refuse what is not the file that was sent.

    Raises:
        UsageError: its hash is another.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UsageError(f"{path}: its sha256 is {found[:12]}…, expected {sha256[:12]}…")
