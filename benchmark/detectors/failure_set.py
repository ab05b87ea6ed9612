"""Recorded episodes for failure detectors: rows of windows, and what is known of the episode that they belong to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from flow_rag_vla.agents.files.safetensors_file import (
    HeaderError,
    errors_in_one_line,
    read_header,
    read_with_header,
    save_with_header,
)

HEADER = "failures"
FORMAT = "flow-rag-vla-failures"
_HEADER_FIELDS = {"origin", "faults", "tasks"}
_STRANGE = "not a file that scripts/collect_failures.py wrote"

_ROWS = ("before", "after", "action", "phase", "chunk", "step", "episode")
_NAMES = ("faults", "tasks")


@dataclass(frozen=True)
class FailureSet:
    """``rows`` windows of ``n`` episodes; truth is in it to learn and judge by, never as an input."""

    before: torch.Tensor
    """(rows, NUM_STATE_FEATURES) float16."""
    after: torch.Tensor
    """(rows, NUM_STATE_FEATURES) float16."""
    action: torch.Tensor
    """(rows, 7) float16."""
    phase: torch.Tensor
    """(rows,) int64: sensed phase, an index into ``PHASES``."""
    chunk: torch.Tensor
    """(rows, 2): single and energy distance of the last two decisions; NaN where nothing plans chunks."""
    step: torch.Tensor
    """(rows,) int64: control step."""
    episode: torch.Tensor
    """(rows,) int64: index of the episode."""
    failed: torch.Tensor
    """(n,) bool."""
    failure_type: torch.Tensor
    """(n,) int64: truth, of the first causal event, -1 without one; a success may have recovered from one."""
    failure_phase: torch.Tensor
    failure_step: torch.Tensor
    steps: torch.Tensor
    """(n,) int64: control steps of the episode."""
    rule_type: torch.Tensor
    """(n,) int64: first alarm of the rule-based detector, -1 without one."""
    rule_phase: torch.Tensor
    rule_step: torch.Tensor
    layout_seed: torch.Tensor
    faults: tuple[str, ...]
    """n fault names."""
    tasks: tuple[str, ...]
    """n gym ids."""

    @property
    def num_episodes(self) -> int:
        """Episodes."""
        return len(self.failed)

    def has_failed(self) -> torch.Tensor:
        """(rows,) bool: the causal event of an episode that fails has happened."""
        return self.failed[self.episode] & (self.step >= self.failure_step[self.episode])

    def select(self, episodes: torch.Tensor) -> Self:
        """The ``episodes`` (n,) bool as a set of their own."""
        new_index = episodes.long().cumsum(0) - 1
        rows = episodes[self.episode]
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _NAMES:
                values[field.name] = tuple(v for v, keep in zip(value, episodes.tolist(), strict=True) if keep)
            else:
                values[field.name] = value[rows if field.name in _ROWS else episodes]
        values["episode"] = new_index[values["episode"]]
        return type(self)(**values)

    def of_task(self, task: str) -> Self:
        """The episodes of ``task`` (gym id) as a set of their own."""
        return self.select(torch.tensor([name == task for name in self.tasks]))

    @classmethod
    def concatenate(cls, sets: Sequence[Self]) -> Self:
        """All episodes of ``sets``, one set after the other."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            parts = [getattr(s, field.name) for s in sets]
            values[field.name] = sum(parts, ()) if field.name in _NAMES else torch.cat(parts)
        offsets = torch.tensor([0, *[s.num_episodes for s in sets[:-1]]]).cumsum(0)
        values["episode"] = torch.cat([s.episode + offset for s, offset in zip(sets, offsets, strict=True)])
        return cls(**values)

    def save(self, path: Path, origin: dict[str, Any]) -> None:
        """Write to ``path`` whole; ``origin`` says which command, code and policy made it."""
        tensors = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in _NAMES}
        header = {"format": FORMAT, "origin": origin, "faults": self.faults, "tasks": self.tasks}
        save_with_header(path, HEADER, header, tensors)

    @classmethod
    def load(cls, path: Path) -> Self:
        """What ``save`` wrote.

        Raises:
            ValueError: one line: the file is missing or is not such a file.
        """
        with errors_in_one_line("failures", path):
            header, tensors = read_with_header(path, HEADER)
            _require_header(header)
            if set(tensors) != {f.name for f in dataclasses.fields(cls)} - set(_NAMES):
                raise HeaderError(_STRANGE)
        return cls(**tensors, faults=tuple(header["faults"]), tasks=tuple(header["tasks"]))


def read_origin(path: Path) -> dict[str, Any]:
    """Which command, code and policy made the file at ``path``; errors as in ``FailureSet.load``."""
    with errors_in_one_line("failures", path):
        header = read_header(path, HEADER)
        _require_header(header)
    return header["origin"]


def _require_header(header: Any) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT or not set(header) >= _HEADER_FIELDS:
        raise HeaderError(_STRANGE)
