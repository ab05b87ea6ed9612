"""Recorded demonstrations as training data: steps in a row, and the chunks that may be cut from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from flow_rag_vla.agents.features import observation_from_fields, policy_features


@dataclass(frozen=True)
class DemonstrationSet:
    """All steps of all demonstrations, one after the other."""

    features: torch.Tensor
    """(num_steps, NUM_POLICY_FEATURES)."""
    actions: torch.Tensor
    """(num_steps, 7)."""
    last_step: torch.Tensor
    """(num_steps,) int64: index of the last step of the step's episode."""
    disturbed: torch.Tensor
    """(num_steps,) bool: something else than the demonstrated action was executed."""
    layout_seeds: frozenset[int] = frozenset()
    """What the demonstrations were recorded on."""

    def starts(self, horizon: int) -> torch.Tensor:
        """Steps (k,) from which ``horizon`` steps ran as demonstrated: where chunks may start."""
        count = torch.cat([torch.zeros(1, dtype=torch.long), self.disturbed.long().cumsum(0)])
        first = torch.arange(len(self.actions))
        end = torch.minimum(first + horizon, self.last_step + 1)
        return (count[end] == count[first]).nonzero().flatten()

    def chunks(self, steps: torch.Tensor, horizon: int) -> torch.Tensor:
        """Demonstrated chunks (k, horizon, 7) that start at ``steps`` (k,); the last action repeats past the end."""
        ahead = steps.unsqueeze(1) + torch.arange(horizon, device=steps.device)
        return self.actions[torch.minimum(ahead, self.last_step[steps].unsqueeze(1))]


def load_demonstrations(folder: str | Path) -> DemonstrationSet:
    """Everything that ``scripts/collect_demos.py`` wrote to ``folder``.

    Raises:
        ValueError: there are no demonstrations.
    """
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise ValueError(f"no demonstrations in {folder}; record some with scripts/collect_demos.py --out {folder}")
    features, actions, last_steps, disturbed = [], [], [], []
    layout_seeds: set[int] = set()
    offset = 0
    for file in files:
        rows = load_file(file)
        prefix = "observation."
        seen = {name.removeprefix(prefix): value for name, value in rows.items() if name.startswith(prefix)}
        features.append(policy_features(observation_from_fields(seen)))
        actions.append(rows["action"])
        disturbed.append(rows["disturbed"])
        layout_seeds.update(rows["layout_seed"].unique().tolist())
        _, counts = torch.unique_consecutive(rows["episode"], return_counts=True)
        ends = counts.cumsum(0) - 1 + offset
        last_steps.append(ends.repeat_interleave(counts))
        offset += len(rows["action"])
    return DemonstrationSet(torch.cat(features), torch.cat(actions), torch.cat(last_steps), torch.cat(disturbed))
