"""``torch.compile`` of the policy, on CUDA as a CUDA graph; or the eager policy and a line that says why."""

from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from flow_rag_vla.agents.deployment.policy_module import ChunkFunction, PolicyModule


def cxx_compiler() -> str | None:
    """Path of the C++ compiler that ``torch.compile`` will call: ``$CXX``, else ``g++``; None where it is missing."""
    return shutil.which(os.environ.get("CXX") or "g++")


def compile_policy(module: PolicyModule, batch: int) -> tuple[ChunkFunction, str]:
    """``module`` compiled, ready for ``batch`` rows, and a note: empty, or why it is not compiled.

    On a CUDA device a decision is then a CUDA graph: one launch, not one a kernel.  Another number of rows is answered
    too, after a compilation of its own.
    """
    name = os.environ.get("CXX") or "g++"
    if cxx_compiler() is None:
        return module, f"torch.compile needs a C++ compiler and found no {name}: the policy runs without it"
    # Imported late, as by torch itself: the compiler's front end takes seconds to load.
    from torch._dynamo.exc import BackendCompilerFailed

    # Its search for CUDA warns on machines that have none, where none is needed.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    compiled = _graphed(module) if module.device.type == "cuda" else torch.compile(module, dynamic=False)
    try:
        compiled(*module.random_inputs(batch, torch.Generator().manual_seed(0)))
    except BackendCompilerFailed as error:
        reason = str(error).strip().splitlines()[0]
        return module, f"torch.compile failed ({reason}): the policy runs without it"
    return compiled, ""


def _graphed(module: PolicyModule) -> ChunkFunction:
    replay = torch.compile(module, dynamic=False, mode="reduce-overhead")

    def run(features: torch.Tensor, instruction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        # The next replay writes into the same memory.
        return replay(features, instruction, noise).clone()

    return run
