"""What an interrupted run is resumed from: a few safetensors files, each written whole and named by its own hash."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save

from flow_rag_vla.agents.files.safetensors_file import read_tensors

KEEP = 2
"""States on disk: the newest, and one to fall back on."""

_NAME = re.compile(r"state-(\d{9})-([0-9a-f]{16})\.safetensors")
_HEADER = "training_state"


@dataclass(frozen=True)
class SavedState:
    """A run at one iteration."""

    header: dict[str, Any]
    """JSON-able: numbers, schedule, results so far."""
    tensors: dict[str, torch.Tensor]
    """Weights, average, moments, states of the random generators."""


class StateFolder:
    """The states of one run."""

    def __init__(self, path: Path) -> None:
        """Wrap an existing or future folder."""
        self.path = path

    def save(self, iteration: int, state: SavedState) -> Path:
        """Write ``state`` durably, then remove all but the newest ``KEEP``; returns the file."""
        header = json.dumps(state.header, sort_keys=True, allow_nan=False)
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
        content = save(tensors, metadata={_HEADER: header})
        name = f"state-{iteration:09d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        self.path.mkdir(parents=True, exist_ok=True)
        partial = self.path / f".{name}.partial"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path / name)
        for old in self.files()[KEEP:]:
            old.unlink()
        for left_over in self.path.glob(".state-*.partial"):
            left_over.unlink()
        return self.path / name

    def files(self) -> list[Path]:
        """State files, newest first."""
        if not self.path.is_dir():
            return []
        named = [path for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
        # Saved twice at one iteration (before and after a validation): the later one tells more.
        return sorted(named, key=lambda path: (path.name[:15], path.stat().st_mtime_ns), reverse=True)

    def newest(self, say: Callable[[str], None]) -> SavedState | None:
        """The newest state that is whole, None if there is none; ``say`` hears of those that are not."""
        files = self.files()
        for position, path in enumerate(files):
            try:
                return _read(path)
            except (OSError, SafetensorError, ValueError) as error:
                older = len(files) - position - 1
                then = "falling back to the one before" if older else "there is none before it"
                say(f"state {path} is damaged ({str(error).splitlines()[0]}); {then}")
        return None


def _read(path: Path) -> SavedState:
    named = _NAME.fullmatch(path.name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    if named is None or found != named[2]:
        raise ValueError(f"its sha256 begins with {found}, its name promises another")
    metadata, tensors = read_tensors(path)
    if _HEADER not in metadata:
        raise ValueError("it holds no training state")
    return SavedState(json.loads(metadata[_HEADER]), tensors)
