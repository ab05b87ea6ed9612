"""The implementation guide's ``quantize_rag_module``: int8 weights, activations quantised as they come.

By ``onnxruntime.quantization``, not torch's own as in the guide: ``torch.ao.quantization`` is deprecated, keeps its
packed weights in pickles, and ignores the ``nn.Conv2d`` that the guide hands it.  An ONNX file is plain data.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from flow_rag_vla.agents.deployment.onnx_export import check_onnx

INT8_FILE = "policy_int8.onnx"

LINEAR_OPERATORS: tuple[str, ...] = ("MatMul", "Gemm")


def quantize_rag_module(source: Path, target: Path) -> None:
    """Write the ONNX file ``source`` to ``target`` with every linear layer in int8.

    Weights get one scale for each output channel and 7 of the 8 bits.  Norms, activations and the solver's arithmetic
    stay float32.

    Args:
        source: What ``export_onnx`` wrote: state encoder, instruction's modulation and flow.
        target: The quantised model; same inputs, same output.

    Raises:
        ValueError: there is no such file, or nothing in it was quantised.
    """
    if not source.is_file():
        raise ValueError(f"ONNX file {source}: no such file")
    # Imported late: the tools take a second to load.
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # The exporter has inferred all shapes; the symbolic pass stumbles over its output.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_dynamic(
            prepared,
            target,
            op_types_to_quantize=list(LINEAR_OPERATORS),
            per_channel=True,
            weight_type=QuantType.QInt8,
            # x86-64 processors without VNNI add two products of an activation (at most 255) and a weight in an int16
            # that saturates (VPMADDUBSW).  Weights within 64 keep the sum, at most 32640, below its 32767, so that all
            # processors agree.  https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
            reduce_range=True,
        )
    check_onnx(target)
    if not int8_layers(target):
        raise ValueError(f"ONNX file {source}: holds no linear layer to quantise")


def int8_layers(path: Path) -> list[str]:
    """Names of the matrix products in ``path`` whose weights are int8."""
    graph = onnx.load(path).graph
    int8 = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    return [node.name for node in graph.node if node.op_type == "MatMulInteger" and node.input[1] in int8]


def float_layers(path: Path) -> list[str]:
    """Names of the matrix products in ``path`` whose weights are not quantised."""
    return [node.name for node in onnx.load(path).graph.node if node.op_type in LINEAR_OPERATORS]
