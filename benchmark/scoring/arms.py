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


def placebo_arms() -> tuple[str, ...]:
    """Those whose memory's answers are wrong, or missing, on purpose."""
    return tuple(arm.name for arm in all_arms() if arm.placebo is not None)


def memory_arms() -> tuple[str, ...]:
    """Those whose memory answers with what it was taught; they may differ in more than that."""
    return tuple(arm.name for arm in all_arms() if arm.consults_memory and arm.placebo is None)


def rival_arms() -> tuple[str, ...]:
    """What a memory must beat: those that act without what it knows, or without its rule of when to act on it."""
    memory = [arm.name for arm in all_arms() if arm.name in memory_arms() and arm.weighs_doing_nothing]
    return tuple(arm.name for arm in all_arms() if is_judged(arm.name) and arm.name not in memory)


def adjusted_for_one_another(arm: str, ran: Collection[str]) -> tuple[str, ...]:
    """Whom ``arm`` must beat, of those that ``ran``: the family over which Holm adjusts p where the memory is compared.

    Placebos, the habit, other memories and controls; neither the reference nor who is told the hazard or holds still.
    """
    return tuple(other for other in ran if other != arm and is_judged(other))


def act_otherwise(arm: str) -> tuple[str, ...]:
    """Arms with a memory whose chunks come from elsewhere than ``arm``'s, or are steered otherwise."""
    ours = next((known for known in all_arms() if known.name == arm), None)
    if ours is None:
        return ()
    way = ours.chunk_source, ours.steering
    return tuple(a.name for a in all_arms() if a.consults_memory and (a.chunk_source, a.steering) != way)


def is_judged(arm: str) -> bool:
    """Whether there is a verdict on ``arm``: not on the reference, on who is told the hazard or on who holds still."""
    return arm not in (REFERENCE_ARM, *told_arms(), *still_arms())


def verdict_arm(ran: Collection[str]) -> str | None:
    """Whose answer the verdict gives, of the arms that ``ran``.

    The guide's arm that is registered last, else the first other one that is judged; None where there is none.
    """
    return _main_of([arm for arm in ran if is_judged(arm)])


def memory_arm(ran: Collection[str]) -> str | None:
    """Whose memory is asked what it adds, of the arms that ``ran``: chosen likewise, among those with a true memory."""
    return _main_of([arm for arm in ran if arm in memory_arms()])


def _main_of(candidates: Collection[str]) -> str | None:
    guide = [arm.name for arm in reversed(benchmark_arms(Suite.GUIDE))]
    return next((arm for arm in (*guide, *candidates) if arm in candidates), None)


def guide_numbers() -> dict[str, GuideNumbers]:
    """What the implementation guide expects of its arms."""
    return {arm.name: arm.guide for arm in all_arms() if arm.guide is not None}
