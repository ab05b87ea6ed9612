"""The arms that exist, by name, in the order in which they run and are shown."""

from __future__ import annotations

from flow_rag_vla.agents.arms.arm import Arm, Suite
from flow_rag_vla.agents.arms.catalogue import ARMS
from flow_rag_vla.tasks.contract import named

_ARMS: dict[str, Arm] = {}


def register_arm(arm: Arm) -> Arm:
    """Make ``arm`` known.

    Raises:
        ValueError: its name is taken, or there is a reference or a habit to beat already.
    """
    if arm.name in _ARMS:
        raise ValueError(f"arm {arm.name!r} is already registered")
    for role in ("is_reference", "is_habit"):
        other = next((known.name for known in _ARMS.values() if getattr(known, role)), None)
        if getattr(arm, role) and other is not None:
            raise ValueError(f"arm {arm.name!r}: {role} is {other!r} already")
    _ARMS[arm.name] = arm
    return arm


def all_arms() -> tuple[Arm, ...]:
    """Every registered arm, in order of registration."""
    return tuple(_ARMS.values())


def get_arm(name: str) -> Arm:
    """The arm called ``name``.

    Raises:
        UnknownNameError: naming the arms that exist.
    """
    return named(_ARMS, name, "arm")


def benchmark_arms(suite: Suite = Suite.CONTROL) -> tuple[Arm, ...]:
    """The arms that ``--ablation all`` (``Suite.GUIDE``) or ``full`` (``Suite.CONTROL``) runs."""
    included = (Suite.GUIDE,) if suite is Suite.GUIDE else (Suite.GUIDE, Suite.CONTROL)
    return tuple(arm for arm in _ARMS.values() if arm.suite in included)


def policy_arms() -> tuple[Arm, ...]:
    """The arms in which a trained policy acts."""
    return tuple(arm for arm in _ARMS.values() if arm.has_policy)


def experts() -> tuple[Arm, ...]:
    """The arms in which the scripted expert acts."""
    return tuple(arm for arm in _ARMS.values() if not arm.has_policy)


def reference_arm() -> Arm:
    """The arm that acts in E1 and that all others are compared with."""
    return next(arm for arm in _ARMS.values() if arm.is_reference)


def habit_arm() -> Arm:
    """The constant habit that a memory must beat."""
    return next(arm for arm in _ARMS.values() if arm.is_habit)


for _arm in ARMS:
    register_arm(_arm)
