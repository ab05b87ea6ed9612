"""Decision latency in simulated time: what ``--latency`` means for each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flow_rag_vla.agents.arms.arm import ChunkSource
from flow_rag_vla.agents.arms.registry import all_arms, get_arm, reference_arm
from flow_rag_vla.benchmark.command.errors import UsageError

GUIDE_FLOW_MS, GUIDE_RETRIEVAL_MS = 20.0, 100.0
"""The implementation guide's expectation of the two pathways."""


@dataclass(frozen=True)
class LatencyProfile:
    """Milliseconds in simulated time."""

    decision_ms: dict[str, float]
    """Arm to the time that its decisions take."""
    flow_ms: float = 0.0
    retrieval_ms: float = 0.0
    """What the virtual clock of concurrent arms assumes of each pathway."""

    def of(self, arm: str) -> float:
        """Decision latency of ``arm``, or of the arm that stands in for it; the expert takes no time."""
        record = get_arm(arm)
        if record.expert is not None:
            return 0.0
        stand_in = record.latency_as or reference_arm().name
        return self.decision_ms.get(arm, self.decision_ms.get(stand_in, 0.0))


def parse_latency(text: str, arms: Sequence[str], measured_ms: Mapping[str, float] | None = None) -> LatencyProfile:
    """The profile that ``--latency text`` asks for.

    Args:
        text: ``off``, ``seed``, ``measured``, milliseconds for all arms, or ``ARM=ms,...``.
        arms: The run's arms.
        measured_ms: Median batch-1 latency of each arm, for ``measured``.

    Raises:
        UsageError: anything else.
    """
    if text == "off":
        return LatencyProfile({})
    if text == "seed":
        guide_ms = {arm.name: arm.guide.latency_ms for arm in all_arms() if arm.guide is not None}
        return LatencyProfile(guide_ms, GUIDE_FLOW_MS, GUIDE_RETRIEVAL_MS)
    if text == "measured":
        if measured_ms is None:
            raise UsageError("--latency measured: nothing was measured")
        flow = measured_ms.get(reference_arm().name, 0.0)
        retrieval = max(0.0, measured_ms.get(_one_after_the_other(), flow) - flow)
        return LatencyProfile(dict(measured_ms), flow, retrieval)
    if "=" not in text:
        return LatencyProfile({arm: _milliseconds(text, text) for arm in arms})
    try:
        pairs = dict(part.strip().split("=", 1) for part in text.split(","))
    except ValueError:
        raise _unreadable(text) from None
    if unknown := sorted(set(pairs) - set(arms)):
        raise UsageError(f"--latency names arm {unknown[0]!r}; this run has {', '.join(arms)}")
    return LatencyProfile({arm: _milliseconds(value, text) for arm, value in pairs.items()})


def _one_after_the_other() -> str:
    """The arm whose decisions pay for the memory and then for the flow."""
    return next(
        arm.name
        for arm in all_arms()
        if arm.consults_memory and not arm.concurrent and arm.chunk_source is ChunkSource.FLOW
    )


def _milliseconds(number: str, text: str) -> float:
    try:
        value = float(number)
    except ValueError:
        raise _unreadable(text) from None
    if not 0.0 <= value <= 10_000.0:
        raise UsageError(f"latency {number} ms is out of range, expected 0 to 10000")
    return value


def _unreadable(text: str) -> UsageError:
    return UsageError(f"--latency {text!r}: expected off, seed, measured, milliseconds, or ARM=ms,...")
