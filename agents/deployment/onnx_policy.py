"""The exported policy, run by ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime
import torch

from flow_rag_vla.agents.deployment.policy_module import INPUTS

if TYPE_CHECKING:
    from pathlib import Path


class OnnxPolicy:
    """Chunks from an ONNX file on the CPU; the call has the signature of ``PolicyModule.forward``."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load ``path``, to run with ``threads`` threads.

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
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, features: torch.Tensor, instruction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Action chunks (batch, horizon, 7), on ``noise``'s device."""
        rows = (features, instruction, noise)
        feed = {name: value.detach().cpu().numpy() for name, value in zip(INPUTS, rows, strict=True)}
        return torch.from_numpy(self._session.run(None, feed)[0]).to(noise.device)
