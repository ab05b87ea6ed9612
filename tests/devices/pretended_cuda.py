"""CUDA without a GPU: PyTorch's fake tensors, which know shape, type and device, compute nothing and refuse to mix.

What code asks of values (``bool``, ``int``, ``nonzero``, ``numpy``) fake tensors cannot tell; here every such question
gets one answer, so that a test with each answer goes down both ways of a branch.  But ``all``, and that two numbers are
equal, always holds: it is how arguments are checked.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torchdiffeq  # noqa: F401 (solvers import it late: its tables, made within the mode, would be fake for ever)
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from flow_rag_vla.agents.policy.features import constant

aten = torch.ops.aten

_MAY_MIX = {aten.copy_.default, aten._to_copy.default, aten.set_data.default}
"""Operations whose purpose is to carry a tensor from one device to another."""

_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Take indices from the CPU as well, but never a CUDA index into a CPU tensor; fake tensors do not look."""


class MixedDevicesError(RuntimeError):
    """What CUDA would refuse."""


class PretendedCuda(FakeTensorMode):
    """Fake tensors that answer every question about a value with ``answer``, and look at the device of all they get."""

    def __init__(self, *, answer: bool) -> None:
        """Tensors from outside are let in, as what they are: on the CPU."""
        super().__init__(allow_non_fake_inputs=True)
        self.answer = answer
        self._holds: dict[int, object] = {}
        """What always holds, kept so that no other tensor gets its id."""

    def dispatch(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """As the class says."""
        if func is aten._local_scalar_dense.default:
            if id(args[0]) in self._holds:
                return True
            kind = float if args[0].is_floating_point() else bool if args[0].dtype is torch.bool else int
            return kind(self.answer)
        if func is aten.nonzero.default:
            return args[0].new_empty(args[0].numel() if self.answer else 0, args[0].dim(), dtype=torch.long)
        _refuse_mixed(func, args, kwargs or {})
        if func is aten.equal.default:
            return self.answer
        result = super().dispatch(func, types, args, kwargs or {})
        if func is aten.all.default or (func is aten.eq.Tensor and args[0].dim() == 0):
            self._holds[id(result)] = result
        return result


def _refuse_mixed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise where CUDA would: tensors of both devices, other than numbers and indices on the CPU."""
    if func in _MAY_MIX:
        return
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if func in _INDEXING:
        moving = [args[0], *(v for v in args[2:3] if v.dim() > 0)]
        indices = [i for i in args[1] if i is not None]
        if args[0].device.type == "cuda":
            indices = [i for i in indices if i.device.type != "cpu"]
        given = [*moving, *indices]
    devices = {t.device for t in given if t.dim() > 0 or t.device.type != "cpu"}
    if len(devices) > 1:
        raise MixedDevicesError(f"{func}: found tensors on {', '.join(sorted(map(str, devices)))}")


class _Crossing(TorchFunctionMode):
    """``numpy`` of a fake tensor on the CPU: rows of length one, and the mode's answer in whole numbers and truths."""

    def __init__(self, mode: PretendedCuda) -> None:
        super().__init__()
        self._mode = mode

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func not in (torch.Tensor.numpy, torch.Tensor.__array__):
            return func(*args, **(kwargs or {}))
        tensor = args[0]
        if tensor.device.type != "cpu":
            raise TypeError(f"can't convert {tensor.device} device type tensor to numpy; copy it to the host first")
        width = max(tensor.shape[-1], 1) if tensor.dim() else 1
        value = 1.0 / math.sqrt(width) if tensor.dtype.is_floating_point else self._mode.answer
        return np.full(tuple(tensor.shape), value, dtype=np.dtype(str(tensor.dtype).removeprefix("torch.")))


@contextmanager
def pretended_cuda(*, answer: bool) -> Iterator[PretendedCuda]:
    """Within it, ``device="cuda"`` makes fake tensors, and whatever mixes devices raises."""
    mode = PretendedCuda(answer=answer)
    # What is kept for a device must neither be found here from outside nor there from here.
    constant.cache_clear()
    try:
        with mode, _Crossing(mode):
            yield mode
    finally:
        constant.cache_clear()


def on_cuda[N: nn.Module](network: N) -> N:
    """A copy of ``network``, carried over as loading a checkpoint does."""
    with unset_fake_temporarily():
        copied = copy.deepcopy(network)
    return copied.to("cuda")


class SameThread:
    """Stands for a ``ThreadPoolExecutor``: modes hold for the thread that entered them."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Takes what the other takes."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Done, or failed, when this returns."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, **kwargs: object) -> None:
        """Nothing runs."""
