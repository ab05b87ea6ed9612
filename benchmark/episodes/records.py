"""The episode record: one row per planned episode, the only thing statistics and reports read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from pydantic_core import from_json

SCHEMA_VERSION = 1

# Made once: ``json.dumps`` makes an encoder a call.
_CANONICAL = json.JSONEncoder(sort_keys=True, allow_nan=False)

EpisodeKey = tuple[str, str, str, int]
"""Exposure, scenario, the scenario that it repeats, attempt: what tells the episodes of an arm's round apart."""

POSE_BIN_M = 0.05
"""Edge of a pose bin, metres."""


class Exposure(StrEnum):
    """For which purpose an episode meets its scenario; in the order of tables."""

    E1 = "e1"
    """Round 0: the reference arm meets every planned scenario with an empty memory."""
    EXACT = "exact"
    """The same scenario again."""
    NEAR = "near"
    """The scenario displaced."""
    FAR = "far"
    """A new layout at the same site and cue."""
    CLEAN = "clean"
    """No fault."""
    CONTROL = "control"
    """The cue of a hazard, the hazard below threshold."""


class Outcome(StrEnum):
    """How an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    INVALID = "invalid"
    """Bad physics: never a policy failure, and never dropped."""


def pose_bin(position_m: Sequence[float]) -> str:
    """Names the 5 cm cell that holds ``position_m`` (3,): integer cell indices as ``x,y,z``."""
    return ",".join(str(round(float(value) / POSE_BIN_M)) for value in position_m)


def _member[E: StrEnum](members: Mapping[str, E], word: str) -> E:
    if (member := members.get(word)) is None:
        kind = type(next(iter(members.values()))).__name__.lower()
        raise ValueError(f"{kind} {word!r}, expected one of {', '.join(members)}")
    return member


# To look a word up takes a quarter of the time that an enumeration takes to.
_EXPOSURES = {str(member): member for member in Exposure}
_OUTCOMES = {str(member): member for member in Outcome}


@dataclass(frozen=True)
class EpisodeRecord:
    """What happened in one planned episode.

    Truth fields come from the simulator, ``agent_*`` fields from the agent.

    Raises:
        ValueError: an outcome or exposure that does not exist, or a failure without a type.
    """

    arm: str
    round: int
    """0 is E1 (attempt 0, empty memory); 1..K are the E2 rounds."""
    exposure: Exposure
    """``E1`` in round 0, and only there."""
    scenario_id: str
    base_scenario_id: str
    """The E1 scenario that this episode repeats (``near`` displaces it); itself in E1."""
    attempt: int
    site: int
    task: str
    fault: str
    """Fault name, ``none`` on clean scenarios; a control carries the hazard that it looks like."""
    fault_class: str
    severity: float
    initial_state_sha: str
    outcome: Outcome
    fault_fired: bool
    failure_type: str | None
    """Truth: type of the first causal event; None on success and invalid."""
    failure_phase: str | None
    failure_pose_bin: str | None
    """Truth: ``pose_bin`` of the object at the first causal event."""
    failure_step: int | None
    steps: int
    peak_obstacle_force_n: float | None
    """None where the physics gave no finite force."""
    peak_grip_force_n: float | None
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
    penetration_mm: float | None = None
    """Truth: deepest that both finger pads together sank into the object for 7 ms; None where the physics gave no
    number, and in rows of versions that did not look."""
    peak_penetration_mm: float | None = None
    """The same of any physics step, impacts and collisions included."""
    invalid_reason: str | None = None
    """What was wrong with the physics and which setting to change; None unless the outcome is ``INVALID``."""
    steered: int = 0
    """Decisions whose chunk was steered, of those that were looked at (every third); 0 in rows of versions that did not
    look."""
    off_support: int = 0
    """Of these, chunks that fit worse than all of the flow's own for the same state; one in 16 of unsteered ones do."""

    def __post_init__(self) -> None:
        """Make members of plain words, and refuse a row that statistics could not place."""
        if type(self.exposure) is not Exposure or type(self.outcome) is not Outcome:
            object.__setattr__(self, "exposure", _member(_EXPOSURES, self.exposure))
            object.__setattr__(self, "outcome", _member(_OUTCOMES, self.outcome))
        if (self.exposure is Exposure.E1) != (self.round == 0):
            raise ValueError(f"exposure {self.exposure} in round {self.round}: e1 is round 0")
        if self.outcome is Outcome.FAILURE and self.failure_type is None:
            raise ValueError(f"{self.arm} {self.scenario_id}: a failure without a failure type")

    @property
    def valid(self) -> bool:
        """The physics held, so the outcome is the policy's."""
        return self.outcome is not Outcome.INVALID

    @property
    def succeeded(self) -> bool:
        """The task was completed."""
        return self.outcome is Outcome.SUCCESS

    @property
    def failed(self) -> bool:
        """The task was not completed, with valid physics."""
        return self.outcome is Outcome.FAILURE

    def to_json(self) -> str:
        """One canonical JSON line (sorted keys, no NaN) with the schema version."""
        return _CANONICAL.encode({"v": SCHEMA_VERSION, **vars(self)})

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]]) -> list[Self]:
        """A record of each row of ``columns``, one for each field, checked as a record that is made alone.

        Raises:
            ValueError: columns of unequal lengths, or as in the class.
        """
        return [cls._of(dict(zip(columns, row))) for row in zip(*columns.values(), strict=True)]  # noqa: B905 (is slower)

    @classmethod
    def _of(cls, row: dict[str, Any]) -> Self:
        """The record whose fields are ``row``, all of them: setting them one by one takes three times as long."""
        record = object.__new__(cls)
        object.__setattr__(record, "__dict__", row)
        record.__post_init__()
        return record

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """Parse a line that ``to_json`` wrote.

        Raises:
            ValueError: not a JSON object, another schema version, missing or unknown fields.
        """
        row: Any = from_json(line, allow_inf_nan=False)
        if not isinstance(row, dict):
            raise ValueError(f"episode record is a JSON {type(row).__name__}, expected an object")
        version = row.pop("v", None)
        if version != SCHEMA_VERSION:
            raise ValueError(f"episode record has schema version {version!r}, this code reads {SCHEMA_VERSION}")
        if row.keys() == FIELDS:
            return cls._of(row)
        try:
            return cls(**row)  # rows of earlier versions lack what has a default
        except TypeError as error:
            raise ValueError(f"episode record does not match schema {SCHEMA_VERSION}: {error}") from None


FIELDS = {field.name for field in fields(EpisodeRecord)}
