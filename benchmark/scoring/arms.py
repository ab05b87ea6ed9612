"""What scores and reports know of the arms: which is compared with which, in what order they are shown."""

from __future__ import annotations

from collections.abc import Collection

from flow_rag_vla.agents.arms.arm import GuideNumbers, Suite
from flow_rag_vla.agents.arms.registry import all_arms, benchmark_arms, habit_arm, reference_arm

REFERENCE_ARM: str = reference_arm().name
"""Every other arm is compared with it."""

HABIT_ARM: str = habit_arm().name
"""The constant habit that a memory must beat."""


def arm_order() -> tuple[str, ...]:
    """In which arms are shown."""
    return tuple(arm.name for arm in all_arms())


def told_arms() -> tuple[str, ...]:
    """Bounds of what could be reached: they know of each hazard what no agent can."""
    return tuple(arm.name for arm in all_arms() if arm.is_told)


def still_arms() -> tuple[str, ...]:
    """Those that do nothing at all: what they solve is no test."""
    return tuple(arm.name for arm in all_arms() if arm.holds_still)


def is_judged(arm: str) -> bool:
    """Whether there is a verdict on ``arm``: not on the reference, on who is told the hazard or on who holds still."""
    return arm not in (REFERENCE_ARM, *told_arms(), *still_arms())


def verdict_arm(ran: Collection[str]) -> str | None:
    """Whose answer the verdict gives, of the arms that ``ran``.

    The guide's arm that is registered last, else the first other one that is judged; None where there is none.
    """
    guide = [arm.name for arm in reversed(benchmark_arms(Suite.GUIDE))]
    return next((arm for arm in (*guide, *ran) if arm in ran and is_judged(arm)), None)


def guide_numbers() -> dict[str, GuideNumbers]:
    """What the implementation guide expects of its arms."""
    return {arm.name: arm.guide for arm in all_arms() if arm.guide is not None}
