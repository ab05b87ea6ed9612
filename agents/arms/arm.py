"""What makes an arm: which parts of the agent it has, and what it stands for in a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Suite(StrEnum):
    """What ``--ablation`` must say for an arm to run without being named."""

    GUIDE = "all"
    """The implementation guide's arms; ``full`` runs them, too."""
    CONTROL = "full"
    """Controls beside them."""
    NONE = "none"
    """Runs in no benchmark; evaluations, recordings and films can name it."""


class Expert(StrEnum):
    """The scripted expert in place of a policy."""

    INFORMED = "informed"
    """Told every episode's hazard."""
    NOMINAL = "nominal"
    """Told nothing."""


class ChunkSource(StrEnum):
    """Where action chunks come from before anything corrects them."""

    FLOW = "flow"
    DEMONSTRATIONS = "demonstrations"
    """The nearest demonstrated state's."""


class Placebo(StrEnum):
    """What is wrong, on purpose, with the memory's answers."""

    SHUFFLED = "shuffled"
    """Each case answers with another case's corrections."""
    RANDOM_TRIGGER = "by_lot"
    """As much advice, in episodes drawn by lot."""
    EMPTY = "empty"
    """Nothing is remembered: a memory without cases is asked."""


@dataclass(frozen=True)
class GuideNumbers:
    """What the implementation guide expects of an arm."""

    latency_ms: float
    """Of a decision."""
    success: str
    memory_mb: str
    memory_of: str
    """What takes that memory."""


@dataclass(frozen=True)
class Arm:
    """One arm of the ablation: pure data, free of networks and of the simulator.

    Raises:
        ValueError: a field that contradicts another.
    """

    name: str
    description: str
    """Who acts, in a few words, as under a film."""
    suite: Suite = Suite.NONE
    expert: Expert | None = None
    """The scripted expert acts; no other part of the agent is there."""
    chunk_source: ChunkSource = ChunkSource.FLOW
    consults_memory: bool = False
    """Asks the failure memory, and writes to it at the barriers between rounds."""
    weighs_doing_nothing: bool = True
    """Takes advice where a correction gains over doing nothing; otherwise where it is likely to help."""
    concurrent: bool = True
    """The memory is asked beside the flow; otherwise before it."""
    steering: str = "warm_start"
    """How a corrected chunk enters the flow: a name of ``corrections.steering.STEERING``."""
    placebo: Placebo | None = None
    constant_corrections: tuple[str, ...] = ()
    """Names of corrections that are applied to every chunk, whatever the memory says."""
    latency_as: str = ""
    """Arm whose decision latency stands in where its own is not known; empty for the reference's."""
    guide: GuideNumbers | None = None
    is_reference: bool = False
    """The one arm that acts in E1 and that all others are compared with."""
    is_habit: bool = False
    """The one constant habit that a memory must beat."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        if self.expert is not None and self._adds_to_flow:
            raise ValueError(f"arm {self.name!r}: the scripted expert has no memory, corrections or chunks")
        if self.placebo is not None and not self.consults_memory:
            raise ValueError(f"arm {self.name!r}: a {self.placebo} placebo needs a memory to answer for")

    @property
    def has_policy(self) -> bool:
        """A trained policy acts."""
        return self.expert is None

    @property
    def acts_on_flow_alone(self) -> bool:
        """What the flow puts out is what is done: nothing steers, corrects or replaces it."""
        return self.has_policy and not self._adds_to_flow

    @property
    def _adds_to_flow(self) -> bool:
        other_chunks = self.chunk_source is not ChunkSource.FLOW
        return self.consults_memory or bool(self.constant_corrections) or other_chunks

    @property
    def retrieves_beside_flow(self) -> bool:
        """A decision has a search under way while the flow runs."""
        return self.consults_memory and self.concurrent
