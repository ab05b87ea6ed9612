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
    STILLNESS = "stillness"
    """No motion and an open hand."""


class Placebo(StrEnum):
    """What is wrong, on purpose, with the memory's answers."""

    SHUFFLED = "shuffled"
    """Each case answers with another case's corrections."""
    WRONG_TYPE = "wrong_type"
    """Each case answers with the corrections of a case of another failure type."""
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
    avoids_failures: bool = False
    """Where no advice is given, chunks are steered away from one that failed from the same state."""
    placebo: Placebo | None = None
    told_correction: bool = False
    """Told before each episode which correction belongs to its hazard, in place of a memory."""
    constant_corrections: tuple[str, ...] = ()
    """Names of corrections that are applied to every chunk, whatever the memory says."""
    demonstration_strength: float = 0.0
    """How strongly, 0 to 1, every chunk of the flow is steered to the one that the nearest demonstrated state was
    followed by; 0 for not at all."""
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
        if self.avoids_failures and not self.consults_memory:
            raise ValueError(f"arm {self.name!r}: only a memory knows what failed")
        if self.avoids_failures and self.chunk_source is not ChunkSource.FLOW:
            raise ValueError(f"arm {self.name!r}: only the flow's own chunks are steered away from failures")
        if self.told_correction and self.consults_memory:
            raise ValueError(f"arm {self.name!r}: who is told the correction asks no memory for it")
        if not 0.0 <= self.demonstration_strength <= 1.0:
            strength = self.demonstration_strength
            raise ValueError(f"arm {self.name!r}: demonstration_strength is {strength:g}, expected 0 to 1")
        others = self.chunk_source is not ChunkSource.FLOW or self._corrects
        if self.demonstration_strength > 0 and others:
            raise ValueError(f"arm {self.name!r}: only the flow's own chunks are steered to demonstrations")
        if self.holds_still and self._corrects:
            raise ValueError(f"arm {self.name!r}: who holds still has nothing to correct")

    @property
    def has_policy(self) -> bool:
        """A trained policy acts."""
        return self.expert is None

    @property
    def acts_on_flow_alone(self) -> bool:
        """What the flow puts out is what is done: nothing steers, corrects or replaces it."""
        return self.has_policy and not self._adds_to_flow

    @property
    def _corrects(self) -> bool:
        return self.consults_memory or self.told_correction or bool(self.constant_corrections)

    @property
    def _adds_to_flow(self) -> bool:
        return self._corrects or self.chunk_source is not ChunkSource.FLOW or self.demonstration_strength > 0

    @property
    def needs_demonstrations(self) -> bool:
        """It looks demonstrated states up."""
        return self.chunk_source is ChunkSource.DEMONSTRATIONS or self.demonstration_strength > 0

    @property
    def is_told(self) -> bool:
        """It knows of each episode's hazard what no agent can: a bound of what could be reached."""
        return self.expert is Expert.INFORMED or self.told_correction

    @property
    def holds_still(self) -> bool:
        """It does nothing at all, so that whatever it solves is no test."""
        return self.chunk_source is ChunkSource.STILLNESS

    @property
    def retrieves_beside_flow(self) -> bool:
        """A decision has a search under way while the flow runs."""
        return self.consults_memory and self.concurrent
