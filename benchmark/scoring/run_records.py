"""The episode records of a run, sorted into place, and the pairs that two arms met."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure

Pairs = list[tuple[EpisodeRecord, EpisodeRecord]]
ScenarioKey = tuple[str, str, str]


@dataclass(frozen=True)
class RunRecords:
    """The records of a run, by where they belong."""

    e1: Mapping[str, EpisodeRecord]
    """Round 0 by scenario id."""
    e2: Mapping[tuple[str, int, str], tuple[EpisodeRecord, ...]]
    """By arm, round and exposure, in scenario order."""
    rounds: Mapping[str, tuple[int, ...]]
    """E2 rounds of each arm."""

    @classmethod
    def of(cls, records: Iterable[EpisodeRecord]) -> RunRecords:
        """Sort records into place; their order does not matter.

        Raises:
            ValueError: a scenario met twice in one place, or repeated though E1 has not met it.
        """
        e1: dict[str, EpisodeRecord] = {}
        e2: dict[tuple[str, int, str], dict[ScenarioKey, EpisodeRecord]] = defaultdict(dict)
        for record in sorted(records, key=_scenario_key):
            if record.exposure is Exposure.E1:
                known = e1.setdefault(record.scenario_id, record)
            else:
                place = e2[record.arm, record.round, record.exposure]
                known = place.setdefault(_scenario_key(record), record)
            if known is not record:
                raise ValueError(
                    f"two records of arm {record.arm}, round {record.round}, "
                    f"{record.exposure}, scenario {record.scenario_id}"
                )
        for (arm, _, exposure), rows in e2.items():
            for record in rows.values():
                if record.base_scenario_id not in e1:
                    raise ValueError(
                        f"{arm} {exposure} repeats scenario {record.base_scenario_id}, which E1 has not met"
                    )
        rounds: dict[str, set[int]] = defaultdict(set)
        for arm, round_, _ in e2:
            rounds[arm].add(round_)
        return cls(
            e1,
            {place: tuple(rows.values()) for place, rows in e2.items()},
            {arm: tuple(sorted(values)) for arm, values in sorted(rounds.items())},
        )

    def last(self, arm: str, *exposures: str) -> tuple[EpisodeRecord, ...]:
        """The arm's episodes on ``exposures`` in its last round."""
        if arm not in self.rounds:
            return ()
        last = self.rounds[arm][-1]
        return tuple(r for name in exposures for r in self.e2.get((arm, last, name), ()))

    def pairs(self, arm: str, reference: str, *exposures: str) -> Pairs:
        """Last-round episodes of two arms on the same scenario, valid in both."""
        others = {_scenario_key(r): r for r in self.last(reference, *exposures)}
        both = ((r, others.get(_scenario_key(r))) for r in self.last(arm, *exposures))
        return [(a, b) for a, b in both if b is not None and a.valid and b.valid]


def _scenario_key(record: EpisodeRecord) -> ScenarioKey:
    return record.exposure, record.scenario_id, record.base_scenario_id
