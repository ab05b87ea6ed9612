"""The episodes of a run, sorted into place, and the pairs that two arms met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flow_rag_vla.benchmark.episodes.records import EpisodeRecord, Exposure
from flow_rag_vla.benchmark.scoring.columns.episode_columns import Episodes, Vocabulary, exposure_code, groups

Pairs = tuple[Episodes, Episodes]
"""Row by row of two arms."""

_Place = tuple[int, ...]
"""Arm, round and exposure, as ``Episodes`` has them."""
_E1: _Place = (-1, 0, exposure_code(Exposure.E1))
"""Of whichever arm."""


@dataclass(frozen=True)
class RunRecords:
    """The episodes of a run, by where they belong."""

    vocabulary: Vocabulary
    _ids: npt.NDArray[np.bytes_]
    """By code, in UTF-8; in order, so that codes are sorted as ids are."""
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
        vocabulary, places = Vocabulary(), dict[_Place, list[Episodes]]()
        for part in vocabulary.parts(records):
            for place, rows in groups(part.arm, part.round, part.exposure):
                places.setdefault(_E1 if place[2] == _E1[2] else place, []).append(part[rows])
        ids, arms = _all_ids(places), vocabulary.arms.words
        e1, e2 = _coded(vocabulary.columns(()), ids), dict[tuple[str, int, str], Episodes]()
        for place in sorted(places):
            # One after the other, as what is joined is twice in memory for a while.
            episodes = _coded(Episodes.joined(places.pop(place)), ids)
            episodes = episodes[np.lexsort((episodes.base, episodes.scenario))]
            if place == _E1:
                e1 = episodes
                _require_once(e1, e1.scenario, arms, ids)
            else:
                _require_once(episodes, _keys(episodes, len(ids)), arms, ids)
                e2[arms[place[0]], place[1], list(Exposure)[place[2]]] = episodes
        row_in_e1 = np.full(len(ids), -1)
        row_in_e1[e1.scenario] = np.arange(len(e1))
        for (arm, _, exposure), episodes in e2.items():
            unknown = np.flatnonzero(row_in_e1[episodes.base] < 0)
            if len(unknown):
                base = _name(ids, int(episodes.base[unknown[0]]))
                raise ValueError(f"{arm} {exposure} repeats scenario {base}, which E1 has not met")
        rounds: dict[str, set[int]] = {}
        for arm, round_, _ in e2:
            rounds.setdefault(arm, set()).add(round_)
        in_order = {arm: tuple(sorted(rounds[arm])) for arm in sorted(rounds)}
        return cls(vocabulary, ids, e1, e2, in_order, row_in_e1)

    def scenario_id(self, code: int) -> str:
        """The scenario that ``code`` stands for."""
        return _name(self._ids, code)

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
            n = len(self._ids)
            _, of_a, of_b = np.intersect1d(_keys(a, n), _keys(b, n), assume_unique=True, return_indices=True)
            both = a.valid[of_a] & b.valid[of_b]
            ours.append(a[of_a[both]])
            theirs.append(b[of_b[both]])
        return Episodes.joined(ours), Episodes.joined(theirs)


def _name(ids: npt.NDArray[np.bytes_], code: int) -> str:
    return bytes(ids[code]).decode()


def _all_ids(places: Mapping[_Place, Sequence[Episodes]]) -> npt.NDArray[np.bytes_]:
    """The ids of all scenarios, ascending; most places have those of others."""
    known = np.zeros(0, dtype="S1")
    for place in sorted(places):
        parts = places[place]
        for ids in (np.concatenate([part.scenario for part in parts]), np.concatenate([part.base for part in parts])):
            if not among(ids, known).all():
                known = np.union1d(known, ids)
    return known


def among(ids: npt.NDArray[np.bytes_], known: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
    """(n,) which of ``ids`` (n,) are in ``known``, which ascends."""
    if not len(known):
        return np.zeros(len(ids), dtype=np.bool_)
    return known[np.minimum(np.searchsorted(known, ids), len(known) - 1)] == ids


def _coded(episodes: Episodes, ids: npt.NDArray[np.bytes_]) -> Episodes:
    """``episodes`` with the places of their scenarios among ``ids`` instead of ids."""
    scenario, base = (np.searchsorted(ids, column).astype(np.int32) for column in (episodes.scenario, episodes.base))
    return replace(episodes, scenario=scenario, base=base)


def _keys(episodes: Episodes, num_scenarios: int) -> np.ndarray:
    """(n,) a number for scenario and what it repeats."""
    return episodes.scenario.astype(np.int64) * num_scenarios + episodes.base


def _require_once(episodes: Episodes, keys: np.ndarray, arms: list[str], ids: npt.NDArray[np.bytes_]) -> None:
    """``keys`` ascend."""
    twice = np.flatnonzero(np.diff(keys) == 0)
    if len(twice):
        row = twice[0]
        exposure = list(Exposure)[episodes.exposure[row]]
        raise ValueError(
            f"two records of arm {arms[episodes.arm[row]]}, round {episodes.round[row]}, "
            f"{exposure}, scenario {_name(ids, int(episodes.scenario[row]))}"
        )
