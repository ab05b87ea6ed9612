"""Recorded demonstrations as training data: steps in a row, and the chunks that may be cut from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from flow_rag_vla.agents.files.safetensors_file import errors_in_one_line, read_tensors
from flow_rag_vla.agents.policy.features import observation_from_fields, policy_features
from flow_rag_vla.agents.policy.instruction_encoder import INSTRUCTION_DIM, shared_instruction_encoder
from flow_rag_vla.agents.policy.instructions import EncodeText, InstructionTable


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
    task: torch.Tensor
    """(num_steps,) int64 index into ``tasks``."""
    tasks: tuple[str, ...]
    """Gym ids of the demonstrated tasks."""
    instruction: torch.Tensor
    """(num_steps,) int64 index into ``instruction_texts``."""
    instruction_texts: tuple[str, ...]
    instruction_embeddings: torch.Tensor
    """(k, INSTRUCTION_DIM) of the texts."""
    layout_seeds: frozenset[int] = frozenset()
    """What the demonstrations were recorded on."""
    contacts: frozenset[str] = frozenset()
    """``world_digest`` of the simulators that they were recorded in; ``unknown`` where a file does not say."""

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

    def instructions(self) -> InstructionTable:
        """The demonstrated texts with the tasks that they belong to, for a policy that is trained on them.

        Raises:
            ValueError: one text asks for two tasks.
        """
        pairs = torch.unique(torch.stack([self.instruction, self.task], dim=1), dim=0).tolist()
        texts = [self.instruction_texts[text] for text, _ in pairs]
        embeddings = self.instruction_embeddings[[text for text, _ in pairs]]
        return InstructionTable(texts, [self.tasks[task] for _, task in pairs], embeddings)


def load_demonstrations(folders: Sequence[Path], encode_text: EncodeText | None = None) -> DemonstrationSet:
    """Everything that ``scripts/collect_demos.py`` wrote to ``folders``, usually one for each task.

    Args:
        folders: Where the files are.
        encode_text: Embeds the instructions; MiniLM by default.

    Raises:
        ValueError: there are no demonstrations in a folder, or a file is damaged or of an older format.
    """
    encode_text = shared_instruction_encoder().encode if encode_text is None else encode_text
    columns: dict[str, list[torch.Tensor]] = {
        name: [] for name in ("features", "actions", "last_step", "disturbed", "task", "instruction")
    }
    tasks: dict[str, int] = {}
    texts: dict[str, int] = {}
    layout_seeds: set[int] = set()
    contacts: set[str] = set()
    offset = 0
    for file in _files(folders):
        rows, metadata = _read(file)
        task, spoken = metadata["task"], json.loads(metadata["instructions"])
        prefix = "observation."
        seen = {name.removeprefix(prefix): value for name, value in rows.items() if name.startswith(prefix)}
        columns["features"].append(policy_features(observation_from_fields(seen)))
        columns["actions"].append(rows["action"])
        columns["disturbed"].append(rows["disturbed"])
        columns["task"].append(torch.full_like(rows["episode"], tasks.setdefault(task, len(tasks))))
        known = torch.tensor([texts.setdefault(text, len(texts)) for text in spoken])
        columns["instruction"].append(known[rows["instruction"]])
        layout_seeds.update(rows["layout_seed"].unique().tolist())
        contacts.add(metadata.get("contacts", "unknown"))
        _, counts = torch.unique_consecutive(rows["episode"], return_counts=True)
        ends = counts.cumsum(0) - 1 + offset
        columns["last_step"].append(ends.repeat_interleave(counts))
        offset += len(rows["action"])
    embeddings = torch.stack([encode_text(text) for text in texts]) if texts else torch.zeros(0, INSTRUCTION_DIM)
    return DemonstrationSet(
        **{name: torch.cat(parts) for name, parts in columns.items()},
        tasks=tuple(tasks),
        instruction_texts=tuple(texts),
        instruction_embeddings=embeddings,
        layout_seeds=frozenset(layout_seeds),
        contacts=frozenset(contacts),
    )


def _files(folders: Sequence[Path]) -> list[Path]:
    found = []
    for folder in folders:
        files = sorted(Path(folder).glob("*.safetensors"))
        if not files:
            raise ValueError(f"no demonstrations in {folder}; record some with scripts/collect_demos.py")
        found.extend(files)
    return found


def _read(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Rows and metadata of one file."""
    with errors_in_one_line("demonstrations", file):
        metadata, rows = read_tensors(file)
    if "task" not in metadata or "instructions" not in metadata:
        raise ValueError(f"demonstrations {file}: names no task; record it again with scripts/collect_demos.py")
    return rows, metadata
