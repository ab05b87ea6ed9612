"""The exported policy, run by ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import torch

from flow_rag_vla.agents.deployment.policy_module import INPUTS, OUTPUT

if TYPE_CHECKING:
    from pathlib import Path

CPU_PROVIDER, CUDA_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"


def wanted_provider(device: torch.device) -> str:
    """ONNX Runtime's name for what computes on ``device``."""
    return CUDA_PROVIDER if device.type == "cuda" else CPU_PROVIDER


class OnnxPolicy:
    """Chunks from an ONNX file; the call has the signature of ``PolicyModule.forward``.

    Inputs are read where they lie and the chunk is written where it will be: nothing is copied on the device that
    computes.
    """

    def __init__(self, path: Path, threads: int = 1, device: str | torch.device = "cpu") -> None:
        """Load ``path``, to run on ``device``, or on the CPU with ``threads`` threads.

        Where ONNX Runtime was built without CUDA, or cannot load it, a CUDA device's policy runs on the CPU too:
        ``provider`` and ``note`` say so.

        Raises:
            ValueError: there is no such file, or ``threads`` is less than 1.
        """
        if threads < 1:
            raise ValueError(f"ONNX Runtime: threads is {threads}, expected at least 1")
        if not path.is_file():
            raise ValueError(f"ONNX file {path}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: it warns of every half-precision node that it cannot fold ahead
        # Idle threads that spin slow down everything else that runs beside a decision, as with OpenMP.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        asked, wanted = torch.device(device), wanted_provider(torch.device(device))
        providers: list[str | tuple[str, dict[str, int]]] = [CPU_PROVIDER]
        if wanted == CUDA_PROVIDER and CUDA_PROVIDER in onnxruntime.get_available_providers():
            providers.insert(0, (CUDA_PROVIDER, {"device_id": asked.index or 0}))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self.provider: str = self._session.get_providers()[0]
        """What computes: the first of ONNX Runtime's providers that could be loaded."""
        self.note = ""
        if self.provider != wanted:
            self.note = (
                f"ONNX Runtime finds no {wanted} here (package onnxruntime-gpu in place of onnxruntime, and the CUDA "
                f"libraries that it asks for): the policy runs by {self.provider}"
            )
        self._device = asked if self.provider == CUDA_PROVIDER else torch.device("cpu")

    def __call__(self, features: torch.Tensor, instruction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Action chunks (batch, horizon, 7), on ``noise``'s device."""
        rows = [value.detach().to(self._device).contiguous() for value in (features, instruction, noise)]
        chunk = torch.empty_like(rows[-1])
        where = self._device.type, self._device.index or 0
        binding = self._session.io_binding()
        for name, value in zip(INPUTS, rows, strict=True):
            binding.bind_input(name, *where, np.float32, tuple(value.shape), value.data_ptr())
        binding.bind_output(OUTPUT, *where, np.float32, tuple(chunk.shape), chunk.data_ptr())
        if self._device.type == "cuda":
            # ONNX Runtime computes on a stream of its own.
            torch.cuda.current_stream(self._device).synchronize()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return chunk.to(noise.device)
