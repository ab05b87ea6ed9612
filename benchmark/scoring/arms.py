"""What scores and reports know of the arms: which is compared with which, in what order they are shown."""

from __future__ import annotations

from flow_rag_vla.agents.arms.arm import GuideNumbers, Suite
from flow_rag_vla.agents.arms.registry import all_arms, benchmark_arms, habit_arm, reference_arm

REFERENCE_ARM: str = reference_arm().name
"""Every other arm is compared with it."""

HABIT_ARM: str = habit_arm().name
"""The constant habit that a memory must beat."""

ARM_ORDER: tuple[str, ...] = tuple(arm.name for arm in all_arms())
"""In which arms are shown."""

VERDICT_ARMS: tuple[str, ...] = tuple(
    arm.name for arm in reversed(benchmark_arms(Suite.GUIDE)) if arm.name != REFERENCE_ARM
)
"""Whose answer the verdict gives: the first of these that ran, else the first other arm."""

GUIDE_NUMBERS: dict[str, GuideNumbers] = {arm.name: arm.guide for arm in all_arms() if arm.guide is not None}
"""What the implementation guide expects of its arms."""
