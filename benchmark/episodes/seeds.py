"""Which layout seeds may be used for what: train, development, evaluation and calibration never overlap.

Training and tuning scripts call ``require_split`` on every layout seed they touch; only the
benchmark may draw from the evaluation range.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

TRAIN = range(0, 10_000_000)
"""Demonstrations and detector training."""

DEVELOPMENT = range(10_000_000, 20_000_000)
"""Tuning: thresholds, steering strength, network size, fault severities."""

EVALUATION = range(20_000_000, 30_000_000)
"""What benchmark runs report."""

CALIBRATION = range(30_000_000, 40_000_000)
"""What ``scripts/calibrate_memory.py`` plays, and nothing else."""

SPLITS: dict[str, range] = {
    "train": TRAIN,
    "development": DEVELOPMENT,
    "evaluation": EVALUATION,
    "calibration": CALIBRATION,
}

MAX_SITES = 1000
"""Sites that one run seed owns in a split: tuning never sees the map of an evaluation site."""

BLOCK_SIZE = 20_000
"""Layout seeds that one run seed owns there; 500 run seeds fit in a split."""

FURTHER_BLOCK_SIZE = 1_000_000
"""Layout seeds that it owns beyond them, for runs of more layouts."""

FURTHER: dict[str, range] = {
    "train": range(1_000_000_000, 1_500_000_000),
    "development": range(2_000_000_000, 2_500_000_000),
    "evaluation": range(3_000_000_000, 3_500_000_000),
    "calibration": range(4_000_000_000, 4_500_000_000),
}
"""The rest of each split: the further layouts of its 500 run seeds."""

MAX_LAYOUTS = BLOCK_SIZE + FURTHER_BLOCK_SIZE
"""Layouts that one run seed offers."""


def split_of(seed: int) -> str:
    """The split that owns layout ``seed``.

    Raises:
        ValueError: the seed belongs to no split.
    """
    for name, seeds in SPLITS.items():
        if seed in seeds or seed in FURTHER[name]:
            return name
    ranges = [(name, r) for name, first in SPLITS.items() for r in (first, FURTHER[name])]
    known = ", ".join(f"{name} {r.start}..{r.stop - 1}" for name, r in ranges)
    raise ValueError(f"layout seed {seed} belongs to no split; splits are {known}")


def require_split(seeds: int | Iterable[int], allowed: str | Iterable[str]) -> None:
    """Refuse any layout seed outside the ``allowed`` split or splits.

    Raises:
        ValueError: naming the first seed refused, its split and the splits allowed.
    """
    allowed_names = _known_splits((allowed,) if isinstance(allowed, str) else tuple(allowed))
    for seed in (seeds,) if isinstance(seeds, int) else seeds:
        split = split_of(seed)
        if split not in allowed_names:
            raise ValueError(
                f"layout seed {seed} is in the {split} range, only {' or '.join(allowed_names)} seeds are allowed here"
            )


def first_site(split: str, run_seed: int) -> int:
    """The first of the ``MAX_SITES`` sites that run seed ``run_seed`` owns in ``split``, which is one of ``SPLITS``."""
    return SPLITS[split].start + run_seed * MAX_SITES


def seed_block(split: str, run_seed: int, count: int) -> Sequence[int]:
    """The first ``count`` layout seeds of run seed ``run_seed`` in ``split``: those of its block, then further ones.

    More of them begin with fewer of them, and those of different run seeds are disjoint.

    Raises:
        ValueError: unknown split, or more seeds asked for than a run seed owns or the split holds.
    """
    seeds = SPLITS[_known_splits((split,))[0]]
    blocks = len(seeds) // BLOCK_SIZE
    if not 0 <= run_seed < blocks:
        raise ValueError(f"seed {run_seed} is out of range, expected 0 to {blocks - 1}")
    if not 0 <= count <= MAX_LAYOUTS:
        raise ValueError(f"{count} layouts asked for, a seed offers 0 to {MAX_LAYOUTS}")
    start = seeds.start + run_seed * BLOCK_SIZE
    if count <= BLOCK_SIZE:
        return range(start, start + count)
    further = FURTHER[split].start + run_seed * FURTHER_BLOCK_SIZE
    return (*range(start, start + BLOCK_SIZE), *range(further, further + count - BLOCK_SIZE))


def seed_column(split: str, run_seed: int, first: int, count: int) -> npt.NDArray[np.int64]:
    """(count,) the seeds from the ``first`` on of those that ``seed_block`` gives; errors likewise, of all of them."""
    seed_block(split, run_seed, 0)  # knows whether there is such a split and such a run seed
    if not 0 <= first + count <= MAX_LAYOUTS:
        raise ValueError(f"{first + count} layouts asked for, a seed offers 0 to {MAX_LAYOUTS}")
    places = np.arange(first, first + count)
    further = FURTHER[split].start + run_seed * FURTHER_BLOCK_SIZE - BLOCK_SIZE
    return places + np.where(places < BLOCK_SIZE, SPLITS[split].start + run_seed * BLOCK_SIZE, further)


def _known_splits(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; splits are {', '.join(SPLITS)}")
    return names
