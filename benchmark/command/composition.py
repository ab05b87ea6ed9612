"""Settings from ``key=value`` overrides: Hydra composes a dataclass, and a mistake is one line for the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hydra import compose, initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException


def compose_dataclass[T](name: str, defaults: T, overrides: Sequence[str], known: Iterable[str]) -> T:
    """A copy of the dataclass instance ``defaults``, named ``name`` in Hydra's store, with ``overrides`` applied.

    Args:
        name: Any name of its own.
        defaults: Plain (not frozen) dataclasses, nested as the keys are.
        overrides: ``key=value`` or ``group.key=value``.
        known: Keys to name where one is unknown.

    Raises:
        ValueError: no ``key=value``, an unknown key, or a value of the wrong type; one line, for the user.
    """
    for override in overrides:
        if not re.match(r"[A-Za-z_]", override) or "=" not in override:
            raise ValueError(f"expected key=value, got {override!r}")
    GlobalHydra.instance().clear()
    ConfigStore.instance().store(name=name, node=defaults)
    try:
        with initialize(version_base=None, config_path=None):
            settings = OmegaConf.to_object(compose(name, list(overrides)))
    except (ConfigCompositionException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        raise ValueError(_one_line(str(cause), overrides, known)) from None
    if not isinstance(settings, type(defaults)):
        raise TypeError(f"expected {type(defaults).__name__}, got {type(settings).__name__}")
    return settings


def quoted(value: str) -> str:
    """``value`` as Hydra takes it literally, commas and equal signs included."""
    plain = value.replace("_", "").replace("-", "").isalnum()
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return value if plain else f"'{escaped}'"


def _one_line(message: str, overrides: Sequence[str], known: Iterable[str]) -> str:
    first = message.strip().splitlines()[0]
    hint = f"; available keys: {', '.join(known)}" if "not in" in first else ""
    return f"{first} (overrides: {' '.join(overrides)}){hint}"
