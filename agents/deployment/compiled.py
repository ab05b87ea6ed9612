"""``torch.compile`` of the policy, on CUDA as a CUDA graph; or the eager policy and a line that says why."""

from __future__ import annotations

import logging
import os
import shutil
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from flow_rag_vla.agents.deployment.policy_module import ChunkFunction, PolicyModule

_CALLS = 3
"""Before a policy is ready: on CUDA the first call compiles, the second captures a graph, the third replays it."""


def missing_compiler(device: torch.device) -> str | None:
    """What ``torch.compile`` needs for ``device`` and does not find, in words; None where it is there.

    Inductor calls a C++ compiler for the CPU (``$CXX``, else ``g++``), Triton a C compiler for a GPU (``$CC``, else
    ``gcc`` or ``clang``).
    """
    if device.type == "cuda":
        language, names = "C", (os.environ["CC"],) if "CC" in os.environ else ("gcc", "clang")
    else:
        language, names = "C++", (os.environ.get("CXX") or "g++",)
    if any(shutil.which(name) for name in names):
        return None
    return f"a {language} compiler and found no {' or '.join(names)}"


def compile_policy(module: PolicyModule, batch: int) -> tuple[ChunkFunction, str]:
    """``module`` compiled, ready for ``batch`` rows, and a note: empty, or why it is not compiled.

    On a CUDA device a decision is then a CUDA graph: one launch, not one a kernel.  Another number of rows is answered
    too, after a compilation of its own.
    """
    if (missing := missing_compiler(module.device)) is not None:
        return module, f"torch.compile needs {missing}: the policy runs without it"
    # Imported late, as by torch itself: the compiler's front end takes seconds to load.
    from torch._dynamo.exc import ShortenTraceback

    # Its search for CUDA warns on machines that have none, where none is needed.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    compiled = _graphed(module) if module.device.type == "cuda" else torch.compile(module, dynamic=False)
    inputs = module.random_inputs(batch, torch.Generator().manual_seed(0))
    try:
        for _ in range(_CALLS):
            compiled(*inputs)
    except ShortenTraceback as error:
        # What the back end raises: a failure of its own, wrapped, or that Triton is missing or the GPU too old for it.
        return module, f"torch.compile failed ({_reason(error)}): the policy runs without it"
    return compiled, ""


def _reason(error: Exception) -> str:
    """The first line of ``error`` that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.endswith("raised:")), type(error).__name__)


def _graphed(module: PolicyModule) -> ChunkFunction:
    replay = torch.compile(module, dynamic=False, mode="reduce-overhead")

    def run(features: torch.Tensor, instruction: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        # The next replay writes into the same memory.
        return replay(features, instruction, noise).clone()

    return run
