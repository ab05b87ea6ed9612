"""ONNX to a TensorRT engine, where TensorRT is installed.  Untested: never run on a CUDA device.

Written for TensorRT 10 and 11: 11 has no builder flag for FP16, precision is that of the graph, so half precision is
asked for with a graph in half precision (``half_precision``), which ONNX Runtime can check without a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING

import onnx
import torch

from flow_rag_vla.agents.deployment.policy_module import INPUTS

if TYPE_CHECKING:
    from pathlib import Path

WORKSPACE_BYTES = 1 << 30
"""The implementation guide's."""


def tensorrt_lacks() -> str | None:
    """What TensorRT needs and does not find here, in words; None where an engine can be built."""
    lacks = []
    if importlib.util.find_spec("tensorrt") is None:
        lacks.append("the package tensorrt (pip install tensorrt)")
    if not torch.cuda.is_available():
        lacks.append("an NVIDIA GPU that torch can see (torch.cuda.is_available() is False)")
    if not lacks:
        return None
    return " and ".join(lacks)


def half_precision(source: Path, target: Path) -> None:
    """Write ``source`` with float16 weights and arithmetic to ``target``; its inputs and output stay float32."""
    # Imported late: it brings all of ONNX Runtime's transformer tools.
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def build_engine(source: Path, target: Path, max_batch: int, workspace_bytes: int = WORKSPACE_BYTES) -> None:
    """Write the TensorRT engine of the ONNX file ``source`` to ``target``, tuned for a single row.

    Args:
        source: An ONNX file; its number format is the engine's.
        target: The serialised engine; it fits the GPU and the TensorRT version that built it.
        max_batch: Most rows of one call.
        workspace_bytes: Memory that tactics may use.

    Raises:
        ImportError: TensorRT is not installed.
        ValueError: TensorRT cannot read the file or finds no engine.
    """
    trt = importlib.import_module("tensorrt")
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(source.read_bytes()):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ValueError(f"TensorRT cannot read {source}: {reasons}".replace("\n", " "))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    profile = builder.create_optimization_profile()
    for i in range(len(INPUTS)):
        tensor = network.get_input(i)
        row = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (1, *row), (1, *row), (max_batch, *row))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ValueError(f"TensorRT found no engine for {source}")
    target.write_bytes(engine)
