"""The episode record: one row per planned episode, the only thing statistics and reports read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self

SCHEMA_VERSION = 1

EXPOSURES: tuple[str, ...] = ("exact", "near", "clean", "control")
"""The E2 exposures: same scenario, displaced scenario, no fault, hazard below threshold."""


@dataclass(frozen=True)
class EpisodeRecord:
    """What happened in one planned episode.  Truth fields come from the simulator, ``agent_*`` fields from the agent."""

    arm: str
    round: int
    """0 is E1 (attempt 0, empty memory); 1..K are the E2 rounds."""
    exposure: str
    """``e1`` in round 0, otherwise one of ``EXPOSURES``."""
    scenario_id: str
    base_scenario_id: str
    """The E1 scenario that this episode repeats (``near`` displaces it); itself in E1."""
    attempt: int
    site: int
    task: str
    fault: str
    """Fault name, ``none`` on clean scenarios; a control carries the name of the hazard that it looks like."""
    fault_class: str
    severity: float
    initial_state_sha: str
    outcome: str
    """``success``, ``failure`` or ``invalid`` (bad physics: never a policy failure, never dropped)."""
    fault_fired: bool
    failure_type: str | None
    """Truth: type of the first causal event; None on success and invalid."""
    failure_phase: str | None
    failure_pose_bin: str | None
    """Truth: object position at the first causal event, on a 5 cm grid, as ``x,y,z``."""
    failure_step: int | None
    steps: int
    peak_obstacle_force_n: float
    peak_grip_force_n: float
    agent_failure_type: str | None
    """What the agent's own detector said, None where it noticed nothing."""
    agent_failure_phase: str | None
    agent_failure_step: int | None
    decisions: int
    retrievals: int
    """Decisions for which a stored case passed the confidence gate."""
    retrieved_type: str | None
    """Failure type of the first case retrieved."""
    candidate: str | None
    """Correction candidate that steered the episode, None where none did."""
    late_retrievals: int
    """Retrievals that missed their decision and served the next one or none."""

    def to_json(self) -> str:
        """One canonical JSON line (sorted keys, no NaN) with the schema version."""
        return json.dumps({"v": SCHEMA_VERSION, **dataclasses.asdict(self)}, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Parse a line that ``to_json`` wrote.

        Raises:
            ValueError: another schema version, or missing or unknown fields.
        """
        row: dict[str, Any] = json.loads(line)
        version = row.pop("v", None)
        if version != SCHEMA_VERSION:
            raise ValueError(f"episode record has schema version {version!r}, this code reads {SCHEMA_VERSION}")
        try:
            return cls(**row)
        except TypeError as error:
            raise ValueError(f"episode record does not match schema {SCHEMA_VERSION}: {error}") from None
