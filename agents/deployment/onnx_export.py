"""Torch to ONNX: one file for the whole decision, any batch size."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import onnx
import torch

from flow_rag_vla.agents.deployment.policy_module import INPUTS, OUTPUT

if TYPE_CHECKING:
    from pathlib import Path

    from flow_rag_vla.agents.deployment.policy_module import PolicyModule


def export_onnx(module: PolicyModule, path: Path) -> None:
    """Write ``module`` to ``path``: inputs and output as in ``policy_module``, the first axis of each dynamic.

    Raises:
        ValueError: the file that came out is not a valid model, or its batch size is fixed.
    """
    # Two rows: an exporter takes a single row for a constant.
    example = module.random_inputs(2, torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        # torch's own use of its tree library, and that the three inputs share one axis, as they should.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*The axis name: batch.*", category=UserWarning)
        program = torch.onnx.export(
            module,
            example,
            input_names=INPUTS,
            output_names=(OUTPUT,),
            dynamic_shapes=tuple({0: batch} for _ in INPUTS),
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ValueError(f"ONNX export to {path}: torch returned no program")
    path.parent.mkdir(parents=True, exist_ok=True)
    program.save(path, external_data=False)
    check_onnx(path)


def check_onnx(path: Path) -> None:
    """Nothing, if the file is a valid model whose inputs and output take any number of rows.

    Raises:
        ValueError: one line: it is not.
    """
    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"ONNX file {path}: {str(error).splitlines()[0]}") from None
    for value in (*model.graph.input, *model.graph.output):
        # The exporter does not complain when a traced program fixes an axis that was asked to be dynamic.
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ValueError(f"ONNX file {path}: the batch size of {value.name} is fixed, expected a dynamic axis")
