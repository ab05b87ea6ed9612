"""Which layout seeds may be used for what: train, development and evaluation never overlap.

Training and tuning scripts call ``require_split`` on every layout seed they touch; only the
benchmark may draw from the evaluation range.
"""

from __future__ import annotations

from collections.abc import Iterable

TRAIN = range(0, 10_000_000)
"""Demonstrations and detector training."""

DEVELOPMENT = range(10_000_000, 20_000_000)
"""Tuning: thresholds, steering strength, network size, fault severities."""

EVALUATION = range(20_000_000, 30_000_000)
"""What benchmark runs report."""

SPLITS: dict[str, range] = {
    "train": TRAIN,
    "development": DEVELOPMENT,
    "evaluation": EVALUATION,
}

MAX_SITES = 1000
"""Sites that one run seed owns in a split: tuning never sees the map of an evaluation site."""

BLOCK_SIZE = 20_000
"""Layout seeds that one run seed owns; 500 run seeds fit in a split."""


def split_of(seed: int) -> str:
    """The split that owns layout ``seed``.

    Raises:
        ValueError: the seed belongs to no split.
    """
    for name, seeds in SPLITS.items():
        if seed in seeds:
            return name
    known = ", ".join(f"{name} {r.start}..{r.stop - 1}" for name, r in SPLITS.items())
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


def seed_block(split: str, run_seed: int, count: int) -> range:
    """The first ``count`` layout seeds of run seed ``run_seed`` in ``split``.

    Blocks of different run seeds are disjoint.

    Raises:
        ValueError: unknown split, or more seeds asked for than the block or split holds.
    """
    seeds = SPLITS[_known_splits((split,))[0]]
    blocks = len(seeds) // BLOCK_SIZE
    if not 0 <= run_seed < blocks:
        raise ValueError(f"seed {run_seed} is out of range, expected 0 to {blocks - 1}")
    if not 0 <= count <= BLOCK_SIZE:
        raise ValueError(f"{count} layouts asked for, a seed offers 0 to {BLOCK_SIZE}")
    start = seeds.start + run_seed * BLOCK_SIZE
    return range(start, start + count)


def _known_splits(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; splits are {', '.join(SPLITS)}")
    return names
