"""The policy by the name of a runtime, for evaluation and timing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.deployment.compiled import compile_policy
from flow_rag_vla.agents.deployment.onnx_export import export_onnx
from flow_rag_vla.agents.deployment.onnx_policy import OnnxPolicy
from flow_rag_vla.agents.deployment.optimize import ENGINE_FILE, HALF_FILE, ONNX_FILE
from flow_rag_vla.agents.deployment.policy_module import PolicyModule
from flow_rag_vla.agents.deployment.quantization import INT8_FILE, quantize_rag_module
from flow_rag_vla.agents.deployment.tensorrt_engine import build_engine, half_precision, tensorrt_lacks
from flow_rag_vla.agents.deployment.tensorrt_policy import TensorRTPolicy
from flow_rag_vla.agents.policy.features import policy_features

if TYPE_CHECKING:
    from flow_rag_vla.agents.deployment.policy_module import ChunkFunction
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint
    from flow_rag_vla.agents.policy.chunk_policy import ChunkPolicy
    from flow_rag_vla.tasks.contract import Observation

RUNS_ON: dict[str, tuple[str, ...]] = {
    "torch": ("cpu", "cuda"),
    "compile": ("cpu", "cuda"),
    "onnx": ("cpu", "cuda"),
    "int8": ("cpu",),
    "tensorrt": ("cuda",),
}
"""Runtime to the kinds of device that it is for."""

RUNTIMES = tuple(RUNS_ON)


def runtimes_here() -> tuple[str, ...]:
    """The runtimes that this machine can run."""
    return tuple(name for name in RUNTIMES if name != "tensorrt" or tensorrt_lacks() is None)


@dataclass(frozen=True)
class Runtime:
    """A way to run the policy."""

    name: str
    run: ChunkFunction
    model_bytes: int
    """Of the file, or of the weights in memory."""
    device: str
    """What computes; for ONNX Runtime with the provider that it chose."""
    note: str = ""
    """A line for the user, where something is not as asked."""


class OnnxFiles:
    """The ONNX files of one policy, each written to ``folder`` when it is first asked for."""

    def __init__(
        self,
        policy: PolicyCheckpoint,
        folder: Path,
        full: Path | None = None,
        engine: Path | None = None,
        max_batch: int = 1024,
    ) -> None:
        """Nothing is written yet; what an earlier policy left in ``folder`` will be replaced.

        Args:
            policy: Encoder and flow.
            folder: Where the files go.
            full: The policy's float32 file, where it has been written already.
            engine: Its TensorRT engine, likewise.
            max_batch: Most rows of an engine that is to be built.
        """
        self._policy, self._folder, self._full = policy, folder, full
        self._engine, self._max_batch = engine, max_batch

    @cached_property
    def full(self) -> Path:
        """In float32."""
        if self._full is not None:
            return self._full
        export_onnx(PolicyModule(self._policy), self._folder / ONNX_FILE)
        return self._folder / ONNX_FILE

    @cached_property
    def int8(self) -> Path:
        """With linear layers in int8."""
        quantize_rag_module(self.full, self._folder / INT8_FILE)
        return self._folder / INT8_FILE

    @cached_property
    def engine(self) -> Path:
        """For TensorRT, in half precision.

        Raises:
            ValueError: one line: what TensorRT needs is not here.
        """
        if self._engine is not None:
            return self._engine
        lacks = tensorrt_lacks()
        if lacks is not None:
            raise ValueError(f"the runtime tensorrt needs {lacks}")
        half_precision(self.full, self._folder / HALF_FILE)
        build_engine(self._folder / HALF_FILE, self._folder / ENGINE_FILE, self._max_batch)
        return self._folder / ENGINE_FILE


def build_runtime(name: str, policy: PolicyCheckpoint, files: OnnxFiles, *, threads: int, batch: int) -> Runtime:
    """``policy`` by the runtime ``name``, on the policy's own device where that runtime can.

    Args:
        name: One of ``RUNTIMES``; ``torch`` is the policy as every other script runs it.
        policy: Encoder and flow, with the solver steps that it is to take.
        files: The ONNX files of the same policy.
        threads: Of ONNX Runtime; torch has its own setting.
        batch: Rows that a call will have; others work too, but ``compile`` would compile again.

    Raises:
        ValueError: an unknown name, or a runtime that needs what is not here.
    """
    if name not in RUNTIMES:
        raise ValueError(f"unknown runtime {name!r}; available: {', '.join(RUNTIMES)}")
    device = policy.flow.action_mean.device
    if name in ("torch", "compile"):
        weights = [*policy.encoder.parameters(), *policy.flow.parameters()]
        model_bytes = sum(weight.numel() * weight.element_size() for weight in weights)
        if name == "torch":
            return Runtime(name, _eager(policy), model_bytes, str(device))
        run, note = compile_policy(PolicyModule(policy, device), batch)
        return Runtime(name, run, model_bytes, str(device), note)
    if name == "tensorrt":
        return Runtime(name, TensorRTPolicy(files.engine, device), files.engine.stat().st_size, str(device))
    # The integer products of the int8 file have kernels on the CPU alone.
    file, where = (files.int8, torch.device("cpu")) if name == "int8" else (files.full, device)
    onnx = OnnxPolicy(file, threads, where)
    return Runtime(name, onnx, file.stat().st_size, f"{where}, {onnx.provider}", onnx.note)


def _eager(policy: PolicyCheckpoint) -> ChunkFunction:
    @torch.no_grad()
    def run(features: torch.Tensor, instruction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return policy.flow.generate(policy.encoder(features, instruction), noise)

    return run


def chunk_policy(policy: PolicyCheckpoint, run: Callable[..., torch.Tensor]) -> ChunkPolicy:
    """``run`` as what ``FlowRAGVLA`` takes its chunks from; for agents without corrections, which need the flow."""

    @torch.no_grad()
    def decide(observation: Observation, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = policy_features(observation)
        embeddings, rows = policy.encoder.instructions.look_up(observation.instruction)
        return features, run(features, embeddings[rows].to(features), noise)

    return decide
