"""The exported policy, run by TensorRT.  Written, never run: there was no TensorRT."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import torch

from flow_rag_vla.agents.deployment.policy_module import INPUTS, OUTPUT

if TYPE_CHECKING:
    from pathlib import Path


class TensorRTPolicy:
    """Chunks from an engine; the call has the signature of ``PolicyModule.forward``, all of it on one CUDA device."""

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load the engine at ``path``, which ``build_engine`` wrote on this machine.

        Raises:
            ImportError: TensorRT is not installed.
            ValueError: TensorRT cannot read the file.
        """
        trt = importlib.import_module("tensorrt")
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))  # has to outlive its engine
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise ValueError(f"TensorRT cannot read the engine {path}; it fits the version and the GPU that built it")
        self._engine, self._context, self._device = engine, engine.create_execution_context(), device

    def __call__(self, features: torch.Tensor, instruction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Action chunks (batch, horizon, 7), on ``noise``'s device.

        Raises:
            ValueError: more rows than the engine was built for.
            RuntimeError: TensorRT refused to run.
        """
        rows = [value.detach().to(self._device).contiguous() for value in (features, instruction, noise)]
        chunk = torch.empty_like(rows[-1])
        for name, value in zip(INPUTS, rows, strict=True):
            if not self._context.set_input_shape(name, tuple(value.shape)):
                raise ValueError(f"the TensorRT engine was built for fewer rows than {len(value)}")
            self._context.set_tensor_address(name, value.data_ptr())
        self._context.set_tensor_address(OUTPUT, chunk.data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream):
            raise RuntimeError(f"TensorRT did not run its engine on {len(noise)} rows; its log has the reason")
        return chunk.to(noise.device)
