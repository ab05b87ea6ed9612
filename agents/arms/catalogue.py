"""The arms that come with the project; another one is another entry here, and a test."""

from __future__ import annotations

from flow_rag_vla.agents.arms.arm import Arm, ChunkSource, Expert, GuideNumbers, Placebo, Suite

FLOW_ONLY = Arm(
    name="flow_only",
    description="flow policy, no memory",
    suite=Suite.GUIDE,
    guide=GuideNumbers(20.0, "85 %", "500", "model"),
    is_reference=True,
)

RAG_ONLY = Arm(
    name="rag_only",
    description="nearest demonstration, with memory",
    suite=Suite.GUIDE,
    chunk_source=ChunkSource.DEMONSTRATIONS,
    consults_memory=True,
    concurrent=False,
    guide=GuideNumbers(100.0, "75 %", "100", "database"),
)

SEQUENTIAL = Arm(
    name="sequential",
    description="memory first, then flow policy",
    suite=Suite.GUIDE,
    consults_memory=True,
    concurrent=False,
    guide=GuideNumbers(120.0, "88 %", "600", "both"),
)

PARALLEL = Arm(
    name="parallel",
    description="flow policy, memory beside it",
    suite=Suite.GUIDE,
    consults_memory=True,
    latency_as="parallel",
    guide=GuideNumbers(25.0, "92 %", "600", "both"),
)

ALWAYS_CAUTIOUS = Arm(
    name="always_cautious",
    description="flow policy that always carries as high and grips as firmly as it can",
    suite=Suite.CONTROL,
    constant_corrections=("lift_15cm", "grip_up_4"),
    is_habit=True,
)

PARALLEL_BLEND = Arm(
    name="parallel_blend",
    description="as parallel, with the guide's fixed blend",
    suite=Suite.CONTROL,
    consults_memory=True,
    steering="blend",
    latency_as="parallel",
)

PARALLEL_NEGATIVE = Arm(
    name="parallel_negative",
    description="as parallel, away from what failed where nothing is advised",
    suite=Suite.CONTROL,
    consults_memory=True,
    avoids_failures=True,
    latency_as="parallel",
)

PARALLEL_SHUFFLED = Arm(
    name="parallel_shuffled",
    description="as parallel, with other cases' answers",
    suite=Suite.CONTROL,
    consults_memory=True,
    placebo=Placebo.SHUFFLED,
    latency_as="parallel",
)

PARALLEL_WRONG_TYPE = Arm(
    name="parallel_wrong_type",
    description="as parallel, with answers to other failure types",
    suite=Suite.CONTROL,
    consults_memory=True,
    placebo=Placebo.WRONG_TYPE,
    latency_as="parallel",
)

PARALLEL_UNGATED = Arm(
    name="parallel_ungated",
    description="as parallel, doing nothing not considered",
    suite=Suite.CONTROL,
    consults_memory=True,
    weighs_doing_nothing=False,
    latency_as="parallel",
)

RANDOM_TRIGGER = Arm(
    name="random_trigger",
    description="as parallel, with advice at random",
    suite=Suite.CONTROL,
    consults_memory=True,
    placebo=Placebo.RANDOM_TRIGGER,
    latency_as="parallel",
)

PARALLEL_EMPTY = Arm(
    name="parallel_empty",
    description="as parallel, with an empty memory",
    suite=Suite.CONTROL,
    consults_memory=True,
    placebo=Placebo.EMPTY,
    latency_as="parallel",
)

SUCCESS_MEMORY = Arm(
    name="success_memory",
    description="flow policy, steered to the nearest demonstration",
    suite=Suite.CONTROL,
    # As strongly as parallel follows the first correction against a failure that nothing was tried against yet:
    # a chance of 0.6 that it helps, to the power of 0.25.
    demonstration_strength=0.88,
    latency_as="sequential",
)

ZERO = Arm(
    name="zero",
    description="holds still, hand open",
    suite=Suite.CONTROL,
    chunk_source=ChunkSource.STILLNESS,
)

PARALLEL_ORACLE = Arm(
    name="parallel_oracle",
    description="as parallel, told the correction",
    suite=Suite.CONTROL,
    told_correction=True,
    latency_as="parallel",
)

EXPERT = Arm(
    name="expert",
    description="expert, told of the fault",
    suite=Suite.CONTROL,
    expert=Expert.INFORMED,
)

NOMINAL_EXPERT = Arm(
    name="nominal_expert",
    description="expert, not told of the fault",
    expert=Expert.NOMINAL,
)

ARMS: tuple[Arm, ...] = (
    FLOW_ONLY,
    RAG_ONLY,
    SEQUENTIAL,
    PARALLEL,
    ALWAYS_CAUTIOUS,
    PARALLEL_BLEND,
    PARALLEL_NEGATIVE,
    PARALLEL_SHUFFLED,
    PARALLEL_WRONG_TYPE,
    PARALLEL_UNGATED,
    RANDOM_TRIGGER,
    PARALLEL_EMPTY,
    SUCCESS_MEMORY,
    ZERO,
    PARALLEL_ORACLE,
    EXPERT,
    NOMINAL_EXPERT,
)
