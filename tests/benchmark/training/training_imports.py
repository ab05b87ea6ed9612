"""All that a training command imports, some of it late: loaded once by the process from which tests fork commands."""

from __future__ import annotations

import matplotlib.figure
import torch._dynamo
import torch.utils.tensorboard

from flow_rag_vla.benchmark.training import cli, run

__all__ = ["cli", "matplotlib", "run", "torch"]
