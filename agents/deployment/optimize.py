"""The implementation guide's ``optimize_flow_module``: torch to ONNX, and on to TensorRT where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flow_rag_vla.agents.deployment.onnx_export import export_onnx
from flow_rag_vla.agents.deployment.policy_module import PolicyModule
from flow_rag_vla.agents.deployment.tensorrt_engine import build_engine, half_precision, tensorrt_lacks

if TYPE_CHECKING:
    from flow_rag_vla.agents.policy.checkpoint import PolicyCheckpoint

ONNX_FILE, HALF_FILE, ENGINE_FILE = "policy.onnx", "policy_fp16.onnx", "policy.engine"


@dataclass(frozen=True)
class OptimizedFlow:
    """What ``optimize_flow_module`` wrote."""

    onnx: Path
    onnx_fp16: Path | None
    """None where half precision was not asked for."""
    engine: Path | None
    """None without TensorRT."""
    note: str
    """One line about the engine."""


def optimize_flow_module(
    policy: PolicyCheckpoint, folder: Path, *, fp16: bool = True, max_batch: int = 1024
) -> OptimizedFlow:
    """Write ``policy`` as ONNX to ``folder`` and, where TensorRT is installed, as an engine.

    The guide converts one flow evaluation; this is the whole decision, so that no step returns to Python.

    Args:
        policy: Encoder and flow; ``flow.cfg`` says how many solver steps are unrolled.
        folder: Made where it does not exist.
        fp16: Also write a half-precision file, and build the engine from that.
        max_batch: Most rows of one call of the engine; the ONNX files take any number.

    Raises:
        ValueError: ``max_batch`` is less than 1, or a converter refuses the model.
    """
    if max_batch < 1:
        raise ValueError(f"max_batch is {max_batch}, expected at least 1")
    full, half = folder / ONNX_FILE, folder / HALF_FILE
    export_onnx(PolicyModule(policy), full)
    if fp16:
        half_precision(full, half)
    lacks = tensorrt_lacks()
    if lacks is not None:
        note = f"no TensorRT engine was built, the ONNX files are the result: TensorRT needs {lacks}"
        return OptimizedFlow(full, half if fp16 else None, None, note)
    engine = folder / ENGINE_FILE
    build_engine(half if fp16 else full, engine, max_batch)
    return OptimizedFlow(full, half if fp16 else None, engine, f"TensorRT engine: {engine}")
