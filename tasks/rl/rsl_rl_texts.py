"""Texts that only rsl_rl can read, which it does when the simulation is up: asked before, while a mistake is cheap."""

from __future__ import annotations

from collections.abc import Callable

from flow_rag_vla.tasks.facts.declared import Declared, WrongValueError
from flow_rag_vla.tasks.facts.setting_values import why_wrong


class ReadByRslRl(Declared):
    """A base of configuration classes of rsl_rl; to set a text that it cannot read is an error that says why."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set the field ``name``; errors as in ``Declared``."""
        if (
            name in vars(self)  # what it begins with is its own affair
            and isinstance(value, str)
            and not why_wrong(type(self), name, value)
            and (why := _why_unreadable(name, value))
        ):
            raise WrongValueError(f"{type(self).__name__}.{name} is {value!r}: {why}")
        super().__setattr__(name, value)


def _why_unreadable(name: str, text: str) -> str:
    """What is wrong with ``text`` for a setting called ``name``, in one line; empty for nothing."""
    read = _READERS.get(name)
    if read is None:
        return ""
    try:
        read(text)
    except (ValueError, ImportError, AttributeError, TypeError, RuntimeError) as error:
        return " ".join(str(error).split())
    return ""


def _activation(text: str) -> None:
    from rsl_rl.utils import resolve_nn_activation

    resolve_nn_activation(text)


def _class_name(text: str) -> None:
    from rsl_rl.utils import resolve_callable

    if not callable(resolve_callable(text)):
        raise TypeError("is no class")


def _device(text: str) -> None:
    import torch

    if torch.device(text).type == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device; available: cpu")


_READERS: dict[str, Callable[[str], None]] = {
    "activation": _activation,
    "class_name": _class_name,
    "device": _device,
}
