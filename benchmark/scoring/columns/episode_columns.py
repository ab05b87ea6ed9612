"""What scores need of episodes, as columns: 63 bytes an episode (87 at first), where a record takes two thousand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure, Outcome

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

NONE = -1
"""The code of None."""

_AT_ONCE = 4096
_EXPOSURES, _OUTCOMES = tuple(Exposure), tuple(Outcome)
_SUCCESS, _FAILURE, _INVALID = map(_OUTCOMES.index, (Outcome.SUCCESS, Outcome.FAILURE, Outcome.INVALID))


class Words:
    """Words and their codes, in the order in which they came."""

    def __init__(self) -> None:
        """None yet."""
        self._codes: dict[str | None, int] = {None: NONE}

    def codes(self, words: Iterable[str | None]) -> list[int]:
        """Of ``words``; new ones get the next."""
        known = self._codes
        return [known.setdefault(word, len(known) - 1) for word in words]

    def code(self, word: str) -> int:
        """Of one word; a code that no row has where it never came."""
        return self._codes.get(word, NONE - 1)

    @property
    def words(self) -> list[str]:
        """By code."""
        return [word for word in self._codes if word is not None]


@dataclass(frozen=True)
class Episodes:
    """Columns (n,), one row an episode; words are codes of the run's vocabulary.

    Scenarios have codes once all are known (``RunRecords``), and ids in UTF-8 before: a run has too many for words.
    """

    arm: npt.NDArray[np.int16]
    round: Codes
    exposure: npt.NDArray[np.int8]
    """Index into ``Exposure``."""
    scenario: npt.NDArray[Any]
    base: npt.NDArray[Any]
    site: npt.NDArray[np.int64]
    fault: npt.NDArray[np.int16]
    fault_class: npt.NDArray[np.int16]
    outcome: npt.NDArray[np.int8]
    """Index into ``Outcome``."""
    fault_fired: Mask
    failure_type: npt.NDArray[np.int16]
    failure_phase: npt.NDArray[np.int16]
    failure_pose_bin: Codes
    steps: Codes
    noticed: Mask
    """The agent's own detector said something."""
    retrieved: Mask
    """A stored case passed the confidence gate."""
    retrieved_type: npt.NDArray[np.int16]
    correction: npt.NDArray[np.int16]
    penetration_mm: npt.NDArray[np.float64]
    """NaN where nobody knows."""
    peak_finger_force_n: npt.NDArray[np.float32]
    """Between a finger and the object, the largest in any physics step; NaN where it has no finite number."""
    steered: npt.NDArray[np.int16]
    """Steered decisions that were looked at."""
    off_support: npt.NDArray[np.int16]
    """Of these, those off the flow's support."""

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.arm)

    def __getitem__(self, rows: npt.NDArray[Any] | slice) -> Self:
        """The episodes ``rows``: indices or a mask."""
        return type(self)(*(column[rows] for column in vars(self).values()))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All of ``parts``, one after the other; at least one."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @property
    def valid(self) -> Mask:
        """The physics held."""
        return self.outcome != _INVALID

    @property
    def succeeded(self) -> Mask:
        """The task was completed."""
        return self.outcome == _SUCCESS

    @property
    def failed(self) -> Mask:
        """It was not, with valid physics."""
        return self.outcome == _FAILURE


class Vocabulary:
    """The words of a run's episodes; arms, types and so on count apart."""

    def __init__(self) -> None:
        """No word yet."""
        self.arms, self.faults, self.classes = Words(), Words(), Words()
        self.types, self.phases, self.pose_bins, self.corrections = Words(), Words(), Words(), Words()

    def columns(self, records: Iterable[EpisodeRecord]) -> Episodes:
        """Of all ``records``."""
        return Episodes.joined(list(self.parts(records)))

    def parts(self, records: Iterable[EpisodeRecord]) -> Iterator[Episodes]:
        """Of ``records``, which are asked for a few at a time and not kept; one part at least."""
        parts = map(self._part, itertools.batched(records, _AT_ONCE))
        yield next(parts, self._part(()))
        yield from parts

    def _part(self, records: Sequence[EpisodeRecord]) -> Episodes:
        rows = zip(*map(_fields_of, records), strict=True) if records else ((),) * len(_FIELDS)
        given: dict[str, Sequence[Any]] = dict(zip(_FIELDS, rows, strict=True))
        spoken: Mapping[str, Words] = {
            "arm": self.arms,
            "fault": self.faults,
            "fault_class": self.classes,
            "failure_type": self.types,
            "failure_phase": self.phases,
            "failure_pose_bin": self.pose_bins,
            "retrieved_type": self.types,
            "candidate": self.corrections,
        }
        given |= {name: words.codes(given[name]) for name, words in spoken.items()}
        for name in ("scenario_id", "base_scenario_id"):
            given[name] = [word.encode() for word in given[name]]
        given["exposure"] = [_EXPOSURES.index(exposure) for exposure in given["exposure"]]
        given["outcome"] = [_OUTCOMES.index(outcome) for outcome in given["outcome"]]
        given["agent_failure_type"] = [kind is not None for kind in given["agent_failure_type"]]
        given["retrievals"] = [count > 0 for count in given["retrievals"]]
        for name in ("penetration_mm", "peak_grip_force_n"):
            given[name] = [np.nan if value is None else value for value in given[name]]
        columns: list[Any] = [np.array(given[name], dtype=kind) for name, kind in _FIELDS.items()]
        return Episodes(*columns)


_FIELDS: dict[str, type[np.generic]] = {
    "arm": np.int16,
    "round": np.int32,
    "exposure": np.int8,
    "scenario_id": np.bytes_,
    "base_scenario_id": np.bytes_,
    "site": np.int64,
    "fault": np.int16,
    "fault_class": np.int16,
    "outcome": np.int8,
    "fault_fired": np.bool_,
    "failure_type": np.int16,
    "failure_phase": np.int16,
    "failure_pose_bin": np.int32,
    "steps": np.int32,
    "agent_failure_type": np.bool_,
    "retrievals": np.bool_,
    "retrieved_type": np.int16,
    "candidate": np.int16,
    "penetration_mm": np.float64,
    "peak_grip_force_n": np.float32,
    "steered": np.int16,
    "off_support": np.int16,
}
"""Fields of a record and what their columns hold, in the order of ``Episodes``."""

_fields_of = attrgetter(*_FIELDS)


def exposure_code(exposure: str) -> int:
    """Index into ``Exposure``."""
    return _EXPOSURES.index(Exposure(exposure))


def groups(*columns: npt.NDArray[Any]) -> Iterator[tuple[tuple[int, ...], npt.NDArray[np.int64]]]:
    """What stands in the rows of ``columns`` (n,), ascending, and in which rows, ascending."""
    if not len(columns[0]):
        return
    order = np.lexsort(columns[::-1])
    in_order = [column[order] for column in columns]
    changes = np.any([np.diff(column, prepend=column[:1]) != 0 for column in in_order], axis=0)
    for rows in np.split(order, np.flatnonzero(changes)):
        yield tuple(int(column[rows[0]]) for column in columns), rows
