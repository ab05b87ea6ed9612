"""Decision latency in simulated time: what ``--latency`` means for each arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flow_rag_vla.benchmark.command.errors import UsageError

GUIDE_MS: dict[str, float] = {"flow_only": 20.0, "rag_only": 100.0, "sequential": 120.0, "parallel": 25.0}
"""The implementation guide's expected latencies."""

GUIDE_FLOW_MS, GUIDE_RETRIEVAL_MS = 20.0, 100.0


@dataclass(frozen=True)
class LatencyProfile:
    """Milliseconds in simulated time."""

    decision_ms: dict[str, float]
    """Arm to the time that its decisions take."""
    flow_ms: float = 0.0
    retrieval_ms: float = 0.0
    """What the virtual clock of concurrent arms assumes of each pathway."""

    def of(self, arm: str) -> float:
        """Decision latency of ``arm``; controls of ``parallel`` take as long as ``parallel``, the expert no time."""
        if arm == "expert":
            return 0.0
        fallback = self.decision_ms.get("parallel" if arm.startswith("parallel") else "flow_only", 0.0)
        return self.decision_ms.get(arm, fallback)


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
        return LatencyProfile(dict(GUIDE_MS), GUIDE_FLOW_MS, GUIDE_RETRIEVAL_MS)
    if text == "measured":
        if measured_ms is None:
            raise UsageError("--latency measured: nothing was measured")
        flow = measured_ms.get("flow_only", 0.0)
        retrieval = max(0.0, measured_ms.get("sequential", flow) - flow)
        return LatencyProfile(dict(measured_ms), flow, retrieval)
    if "=" not in text:
        return LatencyProfile({arm: _milliseconds(text, text) for arm in arms})
    try:
        pairs = dict(part.split("=", 1) for part in text.split(","))
    except ValueError:
        raise _unreadable(text) from None
    if unknown := sorted(set(pairs) - set(arms)):
        raise UsageError(f"--latency names arm {unknown[0]!r}; this run has {', '.join(arms)}")
    return LatencyProfile({arm: _milliseconds(value, text) for arm, value in pairs.items()})


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
