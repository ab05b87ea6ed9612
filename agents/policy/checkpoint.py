"""Policy checkpoints: safetensors with a JSON header, so that loading one never runs anything."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

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
from flow_rag_vla.agents.policy.encoders import LearnedStateEncoder, LearnedStateEncoderCfg
from flow_rag_vla.agents.policy.flow_matching import FlowMatching, FlowMatchingCfg
from flow_rag_vla.agents.policy.instructions import InstructionTable
from flow_rag_vla.agents.policy.velocity_network import VelocityNetworkCfg

HEADER = "policy"
FORMAT = "flow-rag-vla-policy"
FORMAT_VERSION = 2
"""2: conditioned on instructions, whose embeddings the file brings."""

INSTRUCTION_EMBEDDINGS = "instruction_embeddings"
_RETIRED = {"bf16_min_batch": 0}
"""Fields of ``FlowMatchingCfg`` that older files have, and the value at which they changed nothing."""
_MAX_SIZE = 8192
_MAX_LAYERS = 64


@dataclass(frozen=True)
class PolicyCheckpoint:
    """A flow policy and where it came from."""

    encoder: LearnedStateEncoder
    flow: FlowMatching
    training: dict[str, Any] = field(default_factory=dict)
    """JSON-able: the commands, seeds and figures that made it."""
    sha256: str = ""
    """Of the file; empty before it is saved."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Gym ids of the tasks that it was trained on."""
        return self.encoder.instructions.tasks

    def with_ode_steps(self, ode_steps: int) -> Self:
        """The same networks, integrated in ``ode_steps`` solver steps; this policy stays as it is.

        Raises:
            ValueError: fewer than one.
        """
        return dataclasses.replace(self, flow=self.flow.with_ode_steps(ode_steps))

    def require_task(self, task: str, where: str | Path) -> None:
        """Nothing, if the policy knows ``task``, a gym id.

        Raises:
            ValueError: it does not; naming the file ``where`` and what it knows.
        """
        if task not in self.tasks:
            raise ValueError(
                f"checkpoint {os.fspath(where)} knows {', '.join(self.tasks) or 'no task'}, not {task}; "
                "train one for it (README, Train your own policy) and give it with --checkpoint"
            )


class _Policy(nn.Module):
    def __init__(self, encoder: LearnedStateEncoder, flow: FlowMatching) -> None:
        super().__init__()
        self.encoder, self.flow = encoder, flow


def save_checkpoint(path: str | Path, checkpoint: PolicyCheckpoint) -> str:
    """Write ``checkpoint`` atomically; returns the sha256 of the file."""
    instructions = checkpoint.encoder.instructions
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "encoder": dataclasses.asdict(checkpoint.encoder.cfg),
        "flow": dataclasses.asdict(checkpoint.flow.cfg),
        "instructions": {"texts": instructions.texts, "tasks": instructions.text_tasks},
        "training": checkpoint.training,
    }
    tensors = _Policy(checkpoint.encoder, checkpoint.flow).state_dict()
    tensors[INSTRUCTION_EMBEDDINGS] = instructions.embeddings
    return save_with_header(Path(path), HEADER, header, tensors)


def load_checkpoint(path: str | Path, device: str = "cpu", sha256: str | None = None) -> PolicyCheckpoint:
    """The policy saved at ``path``, in evaluation mode.

    Args:
        path: A file that ``save_checkpoint`` wrote.
        device: Where the policy goes.
        sha256: Expected hash of the file; not checked when None.

    Raises:
        ValueError: one line: the file is missing, is not such a checkpoint, is cut short, has the wrong hash, or its
            tensors do not fit its header.
    """
    path = Path(path)
    with errors_in_one_line("checkpoint", path):
        header, tensors = read_with_header(path, HEADER)
        require_format(header, FORMAT, FORMAT_VERSION, "has no policy header; it is not a checkpoint of this project")
        found = file_sha256(path)
        if sha256 is not None and found != sha256:
            raise HeaderError(f"sha256 is {found}, expected {sha256}")
        instructions = _instructions(header, tensors.pop(INSTRUCTION_EMBEDDINGS, None))
        policy = _build(header, instructions)
        expected = policy.state_dict()
        require_names(tensors, expected)
        require_values(tensors, expected)
        policy.load_state_dict(tensors, assign=True)
    policy.to(device).eval().requires_grad_(False)
    return PolicyCheckpoint(policy.encoder, policy.flow, header.get("training", {}), found)


def _section(cls: type, values: Any) -> dict[str, Any]:
    """``values`` checked to be the fields of the configuration ``cls``, of the types of its defaults."""
    if not isinstance(values, dict):
        raise HeaderError(f"its header holds no {cls.__name__}")
    defaults = dataclasses.asdict(cls())
    if sorted(values) != sorted(defaults):
        raise HeaderError(f"its {cls.__name__} has fields {sorted(values)}, expected {sorted(defaults)}")
    for name, default in defaults.items():
        number = isinstance(default, float) and isinstance(values[name], int | float)
        if type(values[name]) is not type(default) and not number:
            raise HeaderError(f"{cls.__name__}.{name} is {values[name]!r}, expected a {type(default).__name__}")
        limit = _MAX_LAYERS if name in ("num_layers", "ode_steps") else _MAX_SIZE
        if type(default) is int and not 0 <= values[name] <= limit:
            raise HeaderError(f"{cls.__name__}.{name} is {values[name]}, expected 0 to {limit}")
    return values


def _without_retired(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {name: value for name, value in values.items() if (name, value) not in _RETIRED.items()}


def _instructions(header: dict[str, Any], embeddings: torch.Tensor | None) -> InstructionTable:
    section = header.get("instructions")
    if not isinstance(section, dict) or sorted(section) != ["tasks", "texts"] or embeddings is None:
        raise HeaderError("it names no instructions")
    for name, values in section.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise HeaderError(f"its instructions' {name} are not a list of texts")
    if embeddings.dtype != torch.float32 or not bool(torch.isfinite(embeddings).all()):
        raise HeaderError(f"tensor {INSTRUCTION_EMBEDDINGS} is not finite float32")
    try:
        return InstructionTable(section["texts"], section["tasks"], embeddings)
    except ValueError as error:
        raise HeaderError(str(error)) from None


def _build(header: dict[str, Any], instructions: InstructionTable) -> _Policy:
    encoder_cfg = LearnedStateEncoderCfg(**_section(LearnedStateEncoderCfg, header.get("encoder")))
    flow_values = _section(FlowMatchingCfg, _without_retired(header.get("flow")))
    velocity = VelocityNetworkCfg(**_section(VelocityNetworkCfg, flow_values["velocity"]))
    current = LearnedStateEncoderCfg()
    if encoder_cfg.num_features != current.num_features:
        raise HeaderError(
            f"expects {encoder_cfg.num_features} policy features, this program computes {current.num_features}"
        )
    if encoder_cfg.instruction_dim != current.instruction_dim:
        raise HeaderError(
            f"expects instructions of {encoder_cfg.instruction_dim} numbers, this program has {current.instruction_dim}"
        )
    if velocity.state_dim != encoder_cfg.embedding_dim:
        raise HeaderError(
            f"its velocity network reads {velocity.state_dim} numbers, its encoder gives {encoder_cfg.embedding_dim}"
        )
    try:
        # Shapes first, memory later: a header that lies about sizes must not allocate.
        with torch.device("meta"):
            flow = FlowMatching(FlowMatchingCfg(**{**flow_values, "velocity": velocity}))
            return _Policy(LearnedStateEncoder(encoder_cfg, instructions), flow)
    except (ValueError, RuntimeError, AssertionError) as error:
        raise HeaderError(str(error)) from None
