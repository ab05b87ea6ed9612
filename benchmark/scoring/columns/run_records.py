"""The episodes of a run, sorted into place, and the pairs that two arms met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure
from flow_rag_vla.benchmark.scoring.columns.episode_columns import Episodes, Vocabulary, exposure_code, groups

Pairs = tuple[Episodes, Episodes]
"""Row by row of two arms."""


@dataclass(frozen=True)
class RunRecords:
    """The episodes of a run, by where they belong."""

    vocabulary: Vocabulary
    scenario_ids: tuple[str, ...]
    """By code; in order, so that codes are sorted as ids are."""
    e1: Episodes
    """Round 0, in scenario order."""
    e2: Mapping[tuple[str, int, str], Episodes]
    """By arm, round and exposure, in scenario order."""
    rounds: Mapping[str, tuple[int, ...]]
    """E2 rounds of each arm."""
    _row_in_e1: np.ndarray
    """(scenarios,) where E1 met each; -1 where it did not."""

    @classmethod
    def of(cls, records: Iterable[EpisodeRecord]) -> RunRecords:
        """Sort records into place; their order does not matter, and they are not kept.

        Raises:
            ValueError: a scenario met twice in one place, or repeated though E1 has not met it.
        """
        vocabulary = Vocabulary()
        every = vocabulary.columns(records)
        ids = vocabulary.scenarios.words
        rank = np.empty(len(ids), dtype=np.int32)
        rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids), dtype=np.int32)
        every.scenario[:], every.base[:] = rank[every.scenario], rank[every.base]
        ids, arms = tuple(sorted(ids)), vocabulary.arms.words
        e1, e2 = every[:0], dict[tuple[str, int, str], Episodes]()
        is_e1 = every.exposure == exposure_code(Exposure.E1)
        if is_e1.any():
            e1 = every[is_e1]
            e1 = e1[np.lexsort((e1.base, e1.scenario))]
            _require_once(e1, e1.scenario, arms, ids)
        again = np.flatnonzero(~is_e1)
        for (arm, round_, exposure), rows in groups(*(c[again] for c in (every.arm, every.round, every.exposure))):
            episodes = every[again[rows]]
            episodes = episodes[np.lexsort((episodes.base, episodes.scenario))]
            _require_once(episodes, _keys(episodes, len(ids)), arms, ids)
            e2[arms[arm], round_, list(Exposure)[exposure]] = episodes
        row_in_e1 = np.full(len(ids), -1)
        row_in_e1[e1.scenario] = np.arange(len(e1))
        for (arm, _, exposure), episodes in e2.items():
            unknown = np.flatnonzero(row_in_e1[episodes.base] < 0)
            if len(unknown):
                base = ids[episodes.base[unknown[0]]]
                raise ValueError(f"{arm} {exposure} repeats scenario {base}, which E1 has not met")
        rounds: dict[str, set[int]] = {}
        for arm, round_, _ in e2:
            rounds.setdefault(arm, set()).add(round_)
        in_order = {arm: tuple(sorted(rounds[arm])) for arm in sorted(rounds)}
        return cls(vocabulary, ids, e1, e2, in_order, row_in_e1)

    def first(self, episodes: Episodes) -> Episodes:
        """E1's episodes of the scenarios that ``episodes`` repeat, row by row."""
        return self.e1[self._row_in_e1[episodes.base]]

    def last(self, arm: str, *exposures: str) -> Episodes:
        """The arm's episodes on ``exposures`` in its last round."""
        places = [(arm, self.rounds[arm][-1], name) for name in exposures] if arm in self.rounds else []
        parts = [self.e2[place] for place in places if place in self.e2]
        return Episodes.joined(parts) if parts else self.e1[:0]

    def pairs(self, arm: str, reference: str, *exposures: str) -> Pairs:
        """Last-round episodes of two arms on the same scenario, valid in both."""
        none = self.e1[:0]
        ours, theirs = [none], [none]
        for exposure in exposures:
            a, b = self.last(arm, exposure), self.last(reference, exposure)
            n = len(self.scenario_ids)
            _, of_a, of_b = np.intersect1d(_keys(a, n), _keys(b, n), assume_unique=True, return_indices=True)
            both = a.valid[of_a] & b.valid[of_b]
            ours.append(a[of_a[both]])
            theirs.append(b[of_b[both]])
        return Episodes.joined(ours), Episodes.joined(theirs)


def _keys(episodes: Episodes, num_scenarios: int) -> np.ndarray:
    """(n,) a number for scenario and what it repeats."""
    return episodes.scenario.astype(np.int64) * num_scenarios + episodes.base


def _require_once(episodes: Episodes, keys: np.ndarray, arms: list[str], ids: tuple[str, ...]) -> None:
    """``keys`` ascend."""
    twice = np.flatnonzero(np.diff(keys) == 0)
    if len(twice):
        row = twice[0]
        exposure = list(Exposure)[episodes.exposure[row]]
        raise ValueError(
            f"two records of arm {arms[episodes.arm[row]]}, round {episodes.round[row]}, "
            f"{exposure}, scenario {ids[episodes.scenario[row]]}"
        )
