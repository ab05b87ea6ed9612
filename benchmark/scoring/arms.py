"""What scores and reports know of the arms: which is compared with which, in what order they are shown."""

from __future__ import annotations

from flow_rag_vla.agents.arms.arm import GuideNumbers, Suite
from flow_rag_vla.agents.arms.registry import all_arms, benchmark_arms, habit_arm, reference_arm

REFERENCE_ARM: str = reference_arm().name
"""Every other arm is compared with it."""

HABIT_ARM: str = habit_arm().name
"""The constant habit that a memory must beat."""


def arm_order() -> tuple[str, ...]:
    """In which arms are shown."""
    return tuple(arm.name for arm in all_arms())


def verdict_arms() -> tuple[str, ...]:
    """Whose answer the verdict gives: the first of these that ran, else the first other arm."""
    return tuple(arm.name for arm in reversed(benchmark_arms(Suite.GUIDE)) if arm.name != REFERENCE_ARM)


def guide_numbers() -> dict[str, GuideNumbers]:
    """What the implementation guide expects of its arms."""
    return {arm.name: arm.guide for arm in all_arms() if arm.guide is not None}
