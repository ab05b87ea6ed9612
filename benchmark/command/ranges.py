"""What every number that a user may give must lie between: checked before anything is imported that takes time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_rag_vla.benchmark.command.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Range:
    """Numbers from ``least`` to ``most``, whole ones where both are."""

    least: float
    most: float
    above: bool = False
    """``least`` itself is too little."""
    below: bool = False
    """``most`` itself is too much."""

    def __contains__(self, value: float) -> bool:
        """NaN lies in no range."""
        low = self.least < value if self.above else self.least <= value
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """What was expected."""
        if not self.above and not self.below:
            return f"{self.least} to {self.most}"
        low = f"more than {self.least}" if self.above else f"at least {self.least}"
        return f"{low} and {'less than' if self.below else 'at most'} {self.most}"

    def check(self, name: str, value: float) -> None:
        """Refuse a ``value`` of ``name`` that lies outside; raises ``UsageError``."""
        if value not in self:
            raise UsageError(f"{name} is {value}, expected {self}")


LAYOUTS = Range(1, 1_020_000)
"""As many as a seed offers (``episodes.seeds``)."""
BLOCK = Range(0, 499)
"""A seed that names a block of layouts (likewise)."""
CELL = Range(0, 20_000)
"""Episodes of a cell, from one block of layouts (likewise)."""
AT_LEAST_ONE = Range(1, 20_000)
SIZE = Range(1, 16_384)
"""Of a layer."""
SHARE = Range(0.0, 1.0)
LESS_THAN_ALL = Range(0.0, 1.0, below=True)
RATE = Range(0.0, 10.0, above=True)
ITERATIONS = Range(1, 100_000_000)
MAYBE_ITERATIONS = Range(0, 100_000_000)
ROWS = Range(1, 1_048_576)
PIXELS = Range(14, 4096)
ANY_SEED = Range(0, 2**32 - 1)
"""A seed of a random generator."""

RANGES: dict[str, Range] = {
    # Fleets and episodes.
    "num_envs": Range(1, 262_144),
    "max_steps": Range(1, 10_000),
    "steps": Range(1, 100_000),
    "scenarios": LAYOUTS,
    "rounds": Range(1, 1000),
    "sites": Range(1, 1000),
    "seed": BLOCK,
    "block": ROWS,
    "threads": Range(1, 1024),
    "attempts": Range(1, 1000),
    "num_demonstrations": LAYOUTS,
    "num_episodes": LAYOUTS,
    "num_pictures": Range(1, 10_000_000),
    "n": Range(1, 20_000),
    "dose_n": CELL,
    "grid_n": CELL,
    "time_step_n": CELL,
    # The agent.
    "execute": Range(1, 1000),
    "executed": Range(1, 1000),
    "ode_steps": Range(1, 1000),
    "evaluations": Range(1, 1000),
    "num_neighbours": Range(1, 1000),
    "num_situations": Range(1, 1000),
    "similarity_threshold": Range(-1.0, 1.0),
    "confidence_gate": SHARE,
    "uplift_threshold": SHARE,
    "caution": Range(0.0, 100.0),
    "coverage": Range(0.0, 100.0, above=True, below=True),
    "max_harm": Range(0.0, 100.0, above=True, below=True),
    "error": Range(0.0, 100.0, above=True, below=True),
    "episodes": AT_LEAST_ONE,
    "max_cases": Range(1, 1_000_000),
    "memory_entries": Range(0, 1_000_000),
    # Networks and their training.
    "horizon": Range(1, 1000),
    "hidden_dim": SIZE,
    "encoder_dim": SIZE,
    "num_layers": Range(1, 256),
    "mlp_ratio": Range(1, 64),
    "dropout": LESS_THAN_ALL,
    "channels": Range(1, 1024),
    "iterations": ITERATIONS,
    "novelty_iterations": ITERATIONS,
    "epochs": Range(1, 100_000),
    "batch_size": ROWS,
    "learning_rate": RATE,
    "weight_decay": Range(0.0, 10.0),
    "warmup": MAYBE_ITERATIONS,
    "warm_up": MAYBE_ITERATIONS,
    "gradient_clip": Range(0.0, 1.0e6, above=True),
    "ema_decay": LESS_THAN_ALL,
    "ema_warmup": MAYBE_ITERATIONS,
    "held_out": LESS_THAN_ALL,
    "held_out_every": ITERATIONS,
    "log_every": ITERATIONS,
    "save_every": ITERATIONS,
    "every": MAYBE_ITERATIONS,
    "bank_size": Range(1, 10_000_000),
    "alpha": Range(0.0, 1.0, above=True, below=True),
    "type_weight": Range(0.0, 1000.0),
    "input_noise": Range(0.0, 100.0),
    "no_action_share": SHARE,
    "training.seed": ANY_SEED,
    # Measurements.
    "batch": ROWS,
    "fleet": ROWS,
    "max_batch": ROWS,
    "width": PIXELS,
    "height": PIXELS,
    "seeds": BLOCK,
    "forces": Range(0.0, 1000.0, above=True),
    "ratios": Range(0.0, 1000.0, above=True),
}
"""By the name of a flag or setting; ``group.name`` goes before ``name``."""


def refuse_settings(settings: DataclassInstance) -> None:
    """Check every number in ``settings``; groups of settings are dataclasses inside.  None, left open, is fine.

    Raises:
        UsageError: one is out of its range.
    """
    for key, value in leaves(settings):
        for number in _numbers(value):
            range_of(key).check(key, number)


def refuse_arguments(arguments: argparse.Namespace, others: Mapping[str, Range]) -> None:
    """The same for the numbers of a command line, alone or in lists; ``others`` go before ``RANGES``."""
    for name, value in vars(arguments).items():
        for number in _numbers(value):
            (others[name] if name in others else range_of(name)).check(f"--{name}", number)


def range_of(key: str) -> Range:
    """The range of ``name`` or ``group.name``; raises ``KeyError`` where nobody has said it."""
    return RANGES[key] if key in RANGES else RANGES[key.rpartition(".")[2]]


def key_has_range(key: str) -> bool:
    """Whether ``range_of`` knows it: whether it is a number."""
    return key in RANGES or key.rpartition(".")[2] in RANGES


def leaves(node: DataclassInstance, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of ``node``, as ``group.key``, with its value."""
    for item in dataclasses.fields(node):
        value = getattr(node, item.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from leaves(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, value


def _numbers(value: object) -> Iterable[float]:
    """``value``, or what it holds, where that is a number; a truth value is none."""
    values = value if isinstance(value, list | tuple) else (value,)
    return [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
